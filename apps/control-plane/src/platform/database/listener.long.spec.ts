import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { silentLogger } from '@drover/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NoticeListener } from './listener.ts';
import { testDatabase } from './test-database.fixture.ts';
import type { TestDatabase } from './test-database.fixture.ts';

describe('the listener for notices', () => {
  let db: TestDatabase;
  beforeAll(async () => {
    db = await testDatabase();
  });
  afterAll(() => db.stop());

  it('can be stopped while it is still connecting, and at any moment after that', async () => {
    for (const ms of [0, 0, 1, 2, 5, 10, 50]) {
      const listener = new NoticeListener(db.connectionString, silentLogger);
      listener.on('channel', () => undefined);
      listener.start();
      await new Promise((resolve) => setTimeout(resolve, ms));
      await listener.stop();
    }
    const { rows } = await db.database.pool.query<{ query: string }>(
      `SELECT query FROM pg_stat_activity WHERE application_name = 'drover-listen' AND query LIKE '%"channel"%'`,
    );
    expect(rows).toEqual([]);
  });

  it('can be stopped while the server does not answer', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const listener = new NoticeListener(
      `postgresql://x@127.0.0.1:${(silent.address() as AddressInfo).port}/x`,
      silentLogger,
    );
    listener.start();
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const socket of sockets) socket.pause();
    await listener.stop();
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
});
