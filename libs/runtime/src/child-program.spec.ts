import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChildProgram, type ChildProgramOptions } from './child-program.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-child-program-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function program(source: string, options: Partial<ChildProgramOptions> = {}): Promise<ChildProgram> {
  const file = join(folder, `${Math.random().toString(36).slice(2)}.mjs`);
  await writeFile(file, source);
  return new ChildProgram({ name: 'the child', file, ...options });
}

const number = (line: string): number | undefined => (line.startsWith('n=') ? Number(line.slice(2)) : undefined);

describe('ChildProgram', () => {
  it('gives lines printed before they were asked for, in order, passing over others', async () => {
    const child = await program(`console.log('hello'); console.log('n=1'); console.log('n=2');`);
    await child.start();
    await child.exited;
    expect(await child.readLine(number, 1_000)).toBe(1);
    expect(await child.readLine(number, 1_000)).toBe(2);
  });

  it('gives a line printed later, and passes arguments and environment', async () => {
    const child = await program(`setTimeout(() => console.log('n=' + process.argv[2] + process.env.DIGIT), 50)`, {
      args: ['4'],
      env: { DIGIT: '2' },
    });
    await child.start();
    expect(await child.readLine(number, 5_000)).toBe(42);
  });

  it('says how the program ended and what it complained about when the line never comes', async () => {
    const child = await program(`console.error('no such folder'); process.exit(3);`);
    await child.start();
    await expect(child.readLine(number, 5_000)).rejects.toThrow(
      /the child ended \(with code 3\).*\n.*\nno such folder/s,
    );
    expect(await child.exited).toEqual({ code: 3, signal: null });
  });

  it('gives up waiting for a line after the time given', async () => {
    const child = await program(`setInterval(() => {}, 1000)`);
    await child.start();
    await expect(child.readLine(number, 50)).rejects.toThrow('did not print the expected line within 50 ms');
    child.kill('SIGKILL');
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' });
    expect(child.running).toBe(false);
  });

  it('stops politely when the program listens, and by force when it does not', async () => {
    const polite = await program(
      `process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000); console.log('n=1')`,
    );
    await polite.start();
    await polite.readLine(number, 5_000);
    expect(await polite.stop()).toEqual({ code: 7, signal: null });

    const deaf = await program(`process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('n=1')`);
    await deaf.start();
    await deaf.readLine(number, 5_000);
    expect(await deaf.stop({ timeoutMs: 50 })).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('reports the end although a grandchild keeps its output open', async () => {
    const child = await program(
      `import { spawn } from 'node:child_process';
       const grandchild = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 3000)'], { stdio: 'inherit', detached: true });
       grandchild.unref(); console.log('n=' + grandchild.pid);`,
    );
    await child.start();
    const grandchild = await child.readLine(number, 5_000);
    const before = performance.now();
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - before).toBeLessThan(2_500);
    process.kill(grandchild, 'SIGKILL');
  });

  it('writes everything into its log file', async () => {
    const logFile = join(folder, 'child.log');
    const child = await program(`console.log('out'); console.error('err')`, { logFile });
    await child.start();
    await child.exited;
    await expect.poll(async () => (await readFile(logFile, 'utf8')).split('\n').toSorted()).toEqual(['', 'err', 'out']);
    expect(child.stderrTail).toBe('err\n');
  });

  it('says that a program does not exist', async () => {
    const child = new ChildProgram({ name: 'the ghost', file: '/nonexistent/ghost' });
    await expect(child.start()).rejects.toThrow(/the ghost could not be started: .*ENOENT/);
  });
});
