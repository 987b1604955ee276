import { execFile } from 'node:child_process';
import { chmod, cp, lstat, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { silentLogger } from '@drover/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DatabaseFolderError, EmbeddedPostgresUnavailableError } from './errors.ts';
import { findPostgresPackage, readPostgresPackage } from './postgres-package.ts';
import type { PostgresPackage } from './postgres-package.ts';
import { provideBinaries } from './server-binaries.ts';
import { serverUserOfThisMachine } from './server-user.ts';

/** All but what only a running server needs: a thousand small files. */
const isNeeded = (path: string): boolean => !/share\/postgresql\/|lib\/postgresql\/|\.a$/.test(path);

let top: string;
let bare: PostgresPackage;
beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'drover-binaries-'));
  await chmod(top, 0o755);
  // The package as npm unpacks it without its install script, below a folder that only we may enter.
  const { folder, links } = await findPostgresPackage();
  const copy = join(top, 'home', 'package');
  await mkdir(join(top, 'home'), { mode: 0o700 });
  await cp(folder, copy, { recursive: true, verbatimSymlinks: true, filter: isNeeded });
  for (const { target } of links) await rm(join(copy, target), { force: true });
  bare = await readPostgresPackage(copy);
});
afterAll(() => rm(top, { recursive: true, force: true }));

describe('the PostgreSQL package', () => {
  it('is found for this platform, with its major version', async () => {
    expect((await findPostgresPackage()).major).toBeGreaterThanOrEqual(18);
  });

  it('is missed with advice on a platform that has none', async () => {
    await expect(findPostgresPackage('aix', 'ppc64')).rejects.toThrow(EmbeddedPostgresUnavailableError);
    await expect(findPostgresPackage('aix', 'ppc64')).rejects.toThrow(/DATABASE_URL/);
  });
});

describe('binaries that cannot run where they are', () => {
  it('are copied once, links made, open to the server user and closed to changes', async () => {
    expect(bare.linked).toBe(false);
    const user = await serverUserOfThisMachine(undefined);
    const cache = join(top, 'cache');
    const first = await provideBinaries(bare, user, [cache], silentLogger);
    expect(first.postgres.startsWith(cache)).toBe(true);
    const asUser = user.switched ? { uid: user.uid, gid: user.gid } : {};
    const { stdout } = await promisify(execFile)(first.postgres, ['--version'], { ...asUser, env: {}, cwd: '/' });
    expect(stdout).toContain(`PostgreSQL) ${bare.major}`);
    expect((await lstat(first.postgres)).mode & 0o022).toBe(0);

    const made = (await lstat(first.postgres)).ino;
    const second = await provideBinaries(bare, user, [cache], silentLogger);
    expect(second).toEqual(first);
    expect((await lstat(second.postgres)).ino).toBe(made);
    expect(await readdir(cache)).toHaveLength(1);
  });

  it('are never taken from or put into a folder that others may write to', async () => {
    const user = await serverUserOfThisMachine(undefined);
    const [open, good] = [join(top, 'open'), join(top, 'cache')];
    await mkdir(open);
    await chmod(open, 0o777);
    await expect(provideBinaries(bare, user, [open], silentLogger)).rejects.toThrow(DatabaseFolderError);
    expect((await provideBinaries(bare, user, [open, good], silentLogger)).postgres.startsWith(good)).toBe(true);
  });
});
