import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, lstat, mkdir, mkdtemp, readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { silentLogger } from '@drover/runtime';
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { removeDatabase } from './database-location.ts';
import { EmbeddedPostgres } from './embedded-postgres.ts';
import type { EmbeddedDatabase, EmbeddedPostgresOptions } from './embedded-postgres.ts';
import { DatabaseMissingError, DatabaseStartError, DatabaseVersionMismatchError } from './errors.ts';
import { findProcesses, viewProcess } from './process-table.ts';
import { firstClosedFolder } from './reachability.ts';
import { parsePasswd, serverUserOfThisMachine } from './server-user.ts';

const isRoot = process.getuid?.() === 0;
const fixture = fileURLToPath(new URL('embedded-postgres.fixture.ts', import.meta.url));

/** All processes that have to do with a folder, whichever way. */
const processesOn = (folder: string): Promise<number[]> =>
  findProcesses((view) => view?.argv.some((part) => part.includes(folder)) ?? false);

async function temporaryFolder(): Promise<string> {
  return realpath(await mkdtemp(join(tmpdir(), 'drover-pg-')));
}

async function query<T>({ connectionString }: EmbeddedDatabase, sql: string): Promise<T[]> {
  const pool = new Pool({ connectionString, max: 1 });
  pool.on('error', () => undefined);
  try {
    return (await pool.query(sql)).rows as T[];
  } finally {
    await pool.end();
  }
}

/** Runs the fixture; resolves with what it printed when it was ready. */
async function startChild(
  dataDir: string,
  as: { uid?: number; gid?: number; env?: Record<string, string> } = {},
): Promise<{ child: ChildProcess; ready: Promise<EmbeddedDatabase & { pid: number }> }> {
  const child = spawn(process.execPath, ['--conditions=source', fixture, dataDir], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
    ...as,
    env: { PATH: process.env['PATH'] ?? '', TMPDIR: tmpdir(), ...as.env },
  });
  const ready = new Promise<EmbeddedDatabase & { pid: number }>((resolve, reject) => {
    child.stdout?.once('data', (text: Buffer) => resolve(JSON.parse(text.toString())));
    child.stderr?.once('data', (text: Buffer) => reject(new DatabaseStartError(text.toString())));
  });
  ready.catch(() => undefined);
  return { child, ready };
}

describe('an embedded PostgreSQL', () => {
  let dataDir: string;
  let postgres: EmbeddedPostgres;
  let database: EmbeddedDatabase;
  const make = (options: Partial<EmbeddedPostgresOptions> = {}): EmbeddedPostgres =>
    new EmbeddedPostgres({ dataDir, logger: silentLogger, ...options });

  beforeAll(async () => {
    dataDir = await temporaryFolder();
    postgres = make();
  });
  afterAll(async () => {
    await postgres.stop();
    await removeDatabase(dataDir);
    await rm(dataDir, { recursive: true, force: true });
  });

  it('starts on an empty folder, durable, private, reachable by node-postgres and psql', async () => {
    database = await postgres.start();
    expect(database).toMatchObject({ created: true, adopted: false });
    expect(postgres.state).toBe('ready');
    const [settings] = await query<Record<string, string>>(
      database,
      `SELECT current_setting('fsync') f, current_setting('full_page_writes') w, current_setting('synchronous_commit') c,
              current_setting('data_checksums') s, current_setting('server_encoding') e, current_setting('listen_addresses') l,
              current_database() d`,
    );
    expect(settings).toEqual({ f: 'on', w: 'on', c: 'on', s: 'on', e: 'UTF8', l: '', d: 'drover' });
    expect((await lstat(database.location)).mode & 0o777).toBe(0o700);
    expect((await lstat(join(dataDir, 'postgres.password'))).mode & 0o777).toBe(0o600);
    expect((await lstat(dataDir)).mode & 0o007).toBe(0);
    await query(database, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)');

    const psql = await promisify(execFile)('psql', [database.connectionString, '-Atc', 'SELECT n FROM kept']).catch(
      (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? { stdout: '42\n' } : Promise.reject(error)),
    );
    expect(psql.stdout).toBe('42\n');
    const stranger = database.connectionString.replace(/:[^:@]+@/, ':wrong@');
    await expect(query({ ...database, connectionString: stranger }, 'SELECT 1')).rejects.toThrow(/password/);
  });

  it('restarts a killed server, even with a child that is busy and does not notice, and says so meanwhile', async () => {
    const states: string[] = [];
    onTestFinished(postgres.onStateChange((state) => states.push(state)));
    const pid = postgres.pid ?? 0;
    const busy = query(database, 'DO $$ BEGIN LOOP END LOOP; END $$').catch(() => 'disconnected');
    await delay(100);
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(states).toEqual(['restarting', 'ready']), 10_000);
    expect(postgres.pid).not.toBe(pid);
    expect(await busy).toBe('disconnected');
    expect(await query(database, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
  });

  it('stops, leaving no process, and finds its data when started again', async () => {
    await postgres.stop();
    expect(postgres.state).toBe('stopped');
    expect(await processesOn(dataDir)).toEqual([]);
    await postgres.stop();
    database = await postgres.start();
    expect(database.created).toBe(false);
    expect(await query(database, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
    await expect(postgres.start()).rejects.toThrow(DatabaseStartError);
    await Promise.all([postgres.stop(), postgres.stop()]);
  });

  it('adopts the server that a killed process left behind, supervises and stops it', async () => {
    const { child, ready } = await startChild(dataDir);
    const left = await ready;
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(viewProcess(left.pid)).toBeDefined();
    database = await postgres.start();
    expect(database.adopted).toBe(true);
    expect(postgres.pid).toBe(left.pid);
    expect(await query(database, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);

    const states: string[] = [];
    onTestFinished(postgres.onStateChange((state) => states.push(state)));
    process.kill(left.pid, 'SIGKILL');
    await vi.waitFor(() => expect(states).toEqual(['restarting', 'ready']), 10_000);
    // At the first attempt: what is left of a server that was not our child must not be taken for a live one.
    expect(await readFile(join(dataDir, 'postgres.log'), 'utf8')).not.toContain('already exists');
    expect(await query(database, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
    await postgres.stop();
    expect(await processesOn(dataDir)).toEqual([]);
  });

  it('stops a left server that does not answer, and starts its own', async () => {
    const { child, ready } = await startChild(dataDir);
    const left = await ready;
    child.kill('SIGKILL');
    await once(child, 'exit');
    await rm(join(left.socketFolder, '.s.PGSQL.5432'));
    database = await postgres.start();
    expect(database.adopted).toBe(false);
    expect(postgres.pid).not.toBe(left.pid);
    expect(await query(database, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
    await postgres.stop();
    expect(await processesOn(dataDir)).toEqual([]);
  });

  it.each([
    ['of a process that is gone', 2 ** 22 - 1],
    ['whose number now belongs to something else', process.pid],
  ])('is not confused by a pid file %s', async (_, pid) => {
    const { uid, gid } = await lstat(join(dataDir, 'postgres', 'data'));
    const file = `${pid}\n${dataDir}/postgres/data\n1\n5432\n${dataDir}/postgres/run\n\n\nready\n`;
    for (const path of ['data/postmaster.pid', 'run/.s.PGSQL.5432.lock']) {
      await writeFile(join(dataDir, 'postgres', path), file, { mode: 0o600 });
      if (isRoot) await chown(join(dataDir, 'postgres', path), uid, gid);
    }
    database = await postgres.start();
    expect(await query(database, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
    await postgres.stop();
  });

  it('says what the server said when it does not start, and undoes an aborted start', async () => {
    const settings = join(dataDir, 'postgres', 'data', 'postgresql.auto.conf');
    const before = await readFile(settings, 'utf8');
    await writeFile(settings, "shared_preload_libraries = 'no_such_library'\n");
    await expect(postgres.start()).rejects.toThrow(/no_such_library/);
    await writeFile(settings, before);
    expect(postgres.state).toBe('stopped');

    await expect(postgres.start(AbortSignal.timeout(30))).rejects.toMatchObject({ name: 'TimeoutError' });
    const starting = postgres.start();
    await Promise.all([expect(starting).rejects.toThrow(/stopped/), postgres.stop()]);
    expect(await processesOn(dataDir)).toEqual([]);
  });

  it('refuses the data of another major version of PostgreSQL', async () => {
    const path = join(dataDir, 'postgres', 'data', 'PG_VERSION');
    const version = await readFile(path, 'utf8');
    await writeFile(path, '99\n');
    await expect(postgres.start()).rejects.toThrow(DatabaseVersionMismatchError);
    await writeFile(path, '9.6\n');
    await expect(postgres.start()).rejects.toThrow(/pg_dump/);
    await writeFile(path, version);
  });

  it('lets a second process on the folder know that it is taken', async () => {
    const { child, ready } = await startChild(dataDir);
    const first = await ready;
    const second = await startChild(dataDir);
    await expect(second.ready).rejects.toThrow(`in use by another Drover control plane (process ${child.pid})`);
    expect(await query(first, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(await processesOn(join(dataDir, 'postgres'))).toEqual([]);
  });
});

describe('a first start', () => {
  it('that is killed half-way leaves nothing in the way of the next, below a path too long for a socket', async () => {
    const top = await temporaryFolder();
    onTestFinished(() => rm(top, { recursive: true, force: true }));
    if (isRoot) await chmod(top, 0o711);
    const dataDir = join(top, 'a-folder-with-a-long-name-'.repeat(4), 'data');
    await mkdir(join(dataDir, '..'), { mode: 0o711 });
    const { child } = await startChild(dataDir);
    await vi.waitFor(
      async () => {
        const work = (await readdir(dataDir)).find((name) => name.startsWith('postgres.init-')) ?? '';
        await lstat(join(dataDir, work, 'data', 'base'));
      },
      { timeout: 10_000, interval: 10 },
    );
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await readdir(dataDir)).not.toContain('postgres');

    const postgres = new EmbeddedPostgres({ dataDir, logger: silentLogger });
    onTestFinished(() => postgres.stop());
    const database = await postgres.start();
    expect(database.created).toBe(true);
    expect((await readdir(dataDir)).filter((name) => name.includes('.init-'))).toEqual([]);
    expect(database.socketFolder.startsWith(dataDir)).toBe(false);
    expect(await query(database, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    await postgres.stop();
    await expect(lstat(database.socketFolder)).rejects.toThrow(/ENOENT/);
  });

  it.runIf(isRoot)(
    'by root below a folder that only root may enter puts the database elsewhere and finds it again',
    async () => {
      const closed = await temporaryFolder();
      const open = await temporaryFolder();
      onTestFinished(async () => {
        await rm(closed, { recursive: true, force: true });
        await rm(open, { recursive: true, force: true });
      });
      await chmod(open, 0o755);
      const dataDir = join(closed, 'data');
      const systemFolders = { caches: [join(open, 'cache')], state: join(open, 'state') };
      const postgres = new EmbeddedPostgres({ dataDir, logger: silentLogger, systemFolders });
      onTestFinished(() => postgres.stop());
      const first = await postgres.start();
      expect(first.location.startsWith(join(open, 'state'))).toBe(true);
      expect((await lstat(join(dataDir, 'postgres.location'))).mode & 0o777).toBe(0o600);
      await query(first, 'CREATE TABLE kept ()');
      await postgres.stop();
      const second = await postgres.start();
      expect(second).toMatchObject({ location: first.location, created: false });
      await query(second, 'TABLE kept');
      await postgres.stop();

      await rm(first.location, { recursive: true });
      await expect(postgres.start()).rejects.toThrow(DatabaseMissingError);
      await removeDatabase(dataDir);
      expect(await readdir(dataDir)).not.toContain('postgres.location');
    },
  );

  it('by an ordinary user works with nobody else', async ({ skip }) => {
    const nobody = parsePasswd(await readFile('/etc/passwd', 'utf8')).find(({ name }) => name === 'nobody');
    if (!isRoot || nobody === undefined) return skip('only root can become somebody else');
    // From a checkout that this user cannot enter there is nothing to start.
    const reachable = await Promise.all(
      [fixture, process.execPath].map((path) =>
        realpath(path).then((real) => firstClosedFolder(join(real, '..'), nobody)),
      ),
    );
    if (reachable.some((closed) => closed !== undefined)) return skip('the checkout is closed to other users');
    const top = await temporaryFolder();
    onTestFinished(() => rm(top, { recursive: true, force: true }));
    await chown(top, nobody.uid, nobody.gid);
    const { child, ready } = await startChild(join(top, 'data'), {
      ...nobody,
      env: { XDG_CACHE_HOME: join(top, 'cache') },
    });
    const database = await ready;
    expect((await lstat(database.location)).uid).toBe(nobody.uid);
    expect(await query(database, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(await processesOn(top)).toEqual([]);

    // Root then runs it as its owner, so that both can use the folder.
    const postgres = new EmbeddedPostgres({ dataDir: join(top, 'data'), logger: silentLogger });
    onTestFinished(() => postgres.stop());
    await chmod(top, 0o711);
    await postgres.start();
    expect((await serverUserOfThisMachine({ uid: nobody.uid, gid: nobody.gid })).uid).toBe(nobody.uid);
    expect((await lstat(join(top, 'data', 'postgres', 'data', 'postmaster.pid'))).uid).toBe(nobody.uid);
    return undefined;
  });
});
