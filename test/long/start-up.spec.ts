import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChildProgram } from '@drover/runtime';
import { ControlPlaneProcess, Testbed, eventually, processesOf } from '@drover/testing';

const START_TIMEOUT_MS = 30_000;

let folder: string;
let testbed: Testbed;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-start-'));
  await chmod(folder, 0o711);
  testbed = await Testbed.start();
});
afterAll(async () => {
  await testbed.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A start that must fail: its exit code, what it said, and that it left nothing behind. */
async function failure(program: ChildProgram): Promise<{ code: number | null; said: string }> {
  await program.start();
  const timer = setTimeout(() => program.kill('SIGKILL'), START_TIMEOUT_MS);
  const { code } = await program.exited;
  clearTimeout(timer);
  return { code, said: program.stderrTail };
}

let count = 0;
/** A control plane on a data folder of its own. */
async function another(env: Record<string, string> = {}): Promise<ChildProgram> {
  count += 1;
  const own = join(folder, String(count));
  await mkdir(own, { mode: 0o711 });
  return new ControlPlaneProcess(own, { DROVER_LOG_LEVEL: 'warn' }).newProgram(env);
}

describe('a control plane that cannot start says which and what to do, and leaves no process', () => {
  it.each([
    ['DROVER_HTTP_PORT', 'api'],
    ['DROVER_MQTT_PORT', 'device-mqtt'],
  ])('when the port of %s is taken', async (variable, listener) => {
    const { port } = new URL(testbed.controlPlane.listeners[listener]!);
    const { code, said } = await failure(await another({ [variable]: port }));
    expect(code).toBe(1);
    expect(said).toContain(variable);
    expect(said).toContain(port);
    expect(said).not.toMatch(/\n\s+at /);
  });

  it('when another one runs on its data folder', async () => {
    const { code, said } = await failure(testbed.controlPlane.newProgram({ DROVER_HTTP_PORT: '0' }));
    expect(code).toBe(1);
    expect(said).toContain(testbed.controlPlane.dataDir);
    expect(said).toContain(String(testbed.controlPlane.pid));
    expect(testbed.controlPlane.running).toBe(true);
    expect((await fetch(`${testbed.controlPlane.url}/readyz`)).status).toBe(200);
  });

  it('when its data folder cannot be written', async () => {
    const file = join(folder, 'a-file');
    await writeFile(file, '');
    for (const unusable of [join(file, 'below'), '/sys/drover']) {
      const { code, said } = await failure(await another({ DROVER_DATA_DIR: unusable }));
      expect(code).toBe(1);
      expect(said).toContain(unusable);
    }
  });

  it('naming every wrong variable of its configuration', async () => {
    const { code, said } = await failure(
      await another({ DROVER_HTTP_PORT: 'eighty', DROVER_ROLES: 'api,chef', DATABASE_URL: 'mysql://here' }),
    );
    expect(code).toBe(1);
    for (const name of ['DROVER_HTTP_PORT', 'DROVER_ROLES', 'DATABASE_URL']) expect(said).toContain(name);
  });

  it('when the database is not there, or its password is wrong', async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const { code, said } = await failure(await another({ DATABASE_URL: `postgresql://u:geheim@127.0.0.1:${port}/d` }));
    server.close();
    expect(code).toBe(1);
    expect(said).toContain('DATABASE_URL');
    expect(said).not.toContain('geheim');
  });

  it('when the data is of a newer version', async () => {
    await testbed.controlPlane.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES ('newer', 'x', '20991231000000_from_the_future', now(), now(), 1)`,
    );
    await testbed.controlPlane.stop();
    const { code, said } = await failure(testbed.controlPlane.newProgram());
    expect(code).toBe(1);
    expect(said).toContain('20991231000000_from_the_future');
    expect(said).toMatch(/newer/);
    expect(await processesOf(testbed.controlPlane.dataDir)).toEqual([]);
  });

  it('leaving nothing behind', async () => {
    expect(await processesOf(folder)).toEqual([]);
  });
});

describe('the programs', () => {
  it('refuse options that they do not know, with their own exit code', async () => {
    const file = new URL('../../apps/control-plane/bin/drover-control-plane.js', import.meta.url).pathname;
    const { code, said } = await failure(new ChildProgram({ name: 'the control plane', file, args: ['--sudo'] }));
    expect(code).toBe(2);
    expect(said).toContain('--sudo');
    const agent = new URL('../../apps/edge-agent/bin/drover-agent.js', import.meta.url).pathname;
    const config = join(folder, 'agent.json');
    await writeFile(config, JSON.stringify({ url: 'http://plain', sensors: { a: { type: 'telepathy' } } }));
    const wrong = await failure(new ChildProgram({ name: 'the agent', file: agent, args: ['--config', config] }));
    expect(wrong.code).toBe(78);
    expect(wrong.said).toContain('sensors.a.type');
  });

  it('stop in order at SIGTERM also while they are still starting', async () => {
    const program = await another();
    await program.start();
    await eventually(
      'PostgreSQL to be started',
      () => processesOf(folder),
      (processes) => processes.some(({ command }) => command.includes('postgres')),
      { everyMs: 10 },
    );
    expect(await program.stop({ timeoutMs: START_TIMEOUT_MS })).toEqual({ code: 0, signal: null });
    expect(await processesOf(folder)).toEqual([]);
  });
});
