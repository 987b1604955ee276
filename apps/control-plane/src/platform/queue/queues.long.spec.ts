import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger, sleep } from '@drover/runtime';
import { testDatabase } from '../database/test-database.fixture.ts';
import type { TestDatabase } from '../database/test-database.fixture.ts';
import { Queues } from './queues.ts';
import type { JobIds, QueueBackend } from './queues.ts';

const REDIS = 'redis-server';
const hasRedis = spawnSync(REDIS, ['--version']).status === 0;
if (!hasRedis) process.stderr.write('redis-server is not installed: the queue is tested on PostgreSQL only.\n');

/** The same promises on both backends. */
function queueBehaves(backend: () => QueueBackend): void {
  const open: Queues[] = [];
  const queues = (): Queues => {
    const made = new Queues(backend(), silentLogger);
    open.push(made);
    return made;
  };
  afterAll(async () => {
    for (const each of open) await each.stop();
  });

  it('brings a job to a worker of another process', async () => {
    const seen: JobIds[] = [];
    queues().process('plain', 2, { greet: async (ids) => void seen.push(ids) });
    await queues().add('plain', 'greet', { fleet: 'default', id: 'a' });
    await eventually(() => seen.length === 1);
    expect(seen).toEqual([{ fleet: 'default', id: 'a' }]);
  });

  it('does not add a job twice while it waits, and adds it again when it has run', async () => {
    const adding = queues();
    for (let i = 0; i < 5; i += 1) await adding.add('once', 'count', { id: 'x' }, { jobId: 'x' });
    let runs = 0;
    queues().process('once', 1, { count: async () => void (runs += 1) });
    await eventually(() => runs === 1);
    await sleep(300);
    expect(runs).toBe(1);
    await adding.add('once', 'count', { id: 'x' }, { jobId: 'x' });
    await eventually(() => runs === 2);
  });

  it('tries a job again that has failed', async () => {
    let tries = 0;
    queues().process('failing', 1, {
      stumble: async () => {
        tries += 1;
        if (tries < 3) throw new TypeError('not yet');
      },
    });
    await queues().add('failing', 'stumble', { id: 'y' });
    await eventually(() => tries === 3);
  });

  it('lets a running job end before it stops', async () => {
    const own = queues();
    let ended = false;
    let begun = false;
    own.process('ending', 1, {
      slow: async () => {
        begun = true;
        await sleep(400);
        ended = true;
      },
    });
    await own.add('ending', 'slow', { id: 'z' });
    await eventually(() => begun);
    await own.stop();
    expect(ended).toBe(true);
  });
}

describe('the queue on PostgreSQL', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
  });
  afterAll(() => database.stop());
  queueBehaves(() => ({ kind: 'postgres', connectionString: database.connectionString }));
});

describe.skipIf(!hasRedis)('the queue on Redis', () => {
  let server: ChildProcess;
  let port: number;
  beforeAll(async () => {
    port = await freePort();
    server = spawn(REDIS, ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], {
      stdio: 'ignore',
    });
    await sleep(500);
  });
  afterAll(async () => {
    const exited = new Promise((resolve) => server.once('exit', resolve));
    server.kill();
    await exited;
  });
  queueBehaves(() => ({ kind: 'redis', connectionString: `redis://127.0.0.1:${port}` }));
});

async function eventually(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new TypeError('waited 15 s in vain');
    await sleep(20);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
