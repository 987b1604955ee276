import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const tool = fileURLToPath(new URL('migration.ts', import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-tool-'));
  const schema = 'datasource db {\n  provider = "postgresql"\n}\nmodel Thing {\n  id Int @id\n}\n';
  await writeFile(join(folder, 'schema.prisma'), schema);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function runTool(...words: string[]): Promise<{ code: number; output: string }> {
  const options = ['--schema', join(folder, 'schema.prisma'), '--migrations', join(folder, 'migrations')];
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--conditions=source', '--no-warnings', tool, ...words, ...options],
      (_, out, err) => resolve({ code: child.exitCode ?? -1, output: out + err }),
    );
  });
}

it('writes the missing migration, which leaves nothing to complain of until the schema says more', async () => {
  expect(await runTool('add_thing')).toMatchObject({ code: 0 });
  const [name, ...others] = await readdir(join(folder, 'migrations'));
  expect(others).toEqual([]);
  expect(name).toMatch(/^\d{14}_add_thing$/);
  expect(await readFile(join(folder, 'migrations', name ?? '', 'migration.sql'), 'utf8')).toContain(
    'CREATE TABLE "Thing"',
  );

  await appendFile(join(folder, 'schema.prisma'), 'model Other {\n  id Int @id\n}\n');
  const { code, output } = await runTool('--check');
  expect(code).toBe(1);
  expect(output).toContain('CREATE TABLE "Other"');
  expect(output).not.toContain('Thing');
});

it('explains itself when asked for nothing or too much', async () => {
  const runs = await Promise.all([runTool(), runTool('Not-Snake'), runTool('name', '--check')]);
  expect(runs.map(({ code }) => code)).toEqual([2, 2, 2]);
});
