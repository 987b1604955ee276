import pg from 'pg';
import { expect, it } from 'vitest';
import { devicesOn } from '../../modules/devices/devices.fixture.ts';
import { EventReader } from '../events/event-reader.ts';
import { testDatabase } from './test-database.fixture.ts';
import { raiseEpoch } from './raise-epoch.ts';

it('makes what a restored database says newer than all that devices have seen, and has it sent', async () => {
  const db = await testDatabase();
  const client = new pg.Client({ connectionString: db.connectionString });
  await client.connect();
  try {
    const { enter, twins } = devicesOn(db.database);
    const [served, empty] = [await enter(), await enter('other')];
    const wanted = {
      release: 'rel_1',
      releaseVersion: 1,
      rollout: 'rol_1',
      execution: 'exe_1',
      manifest: { digest: 'a'.repeat(64), sizeBytes: 1 },
      candidates: ['fp32'],
      calibration: null,
    };
    await db.database.transaction((tx) => twins.changePipeline(tx, 'default', served, 'main', wanted));
    await db.database.prisma.deviceOutbox.deleteMany();

    expect(await raiseEpoch(client)).toBe(2);
    expect(await twins.get('default', served)).toMatchObject({
      epoch: 2,
      version: 1,
      desired: { pipelines: { main: { ...wanted, rollback: true, execution: null } } },
    });
    expect(await twins.get('other', empty)).toMatchObject({ epoch: 2, desired: { pipelines: {} } });
    const sent = await db.database.prisma.deviceOutbox.findMany({ orderBy: { id: 'asc' } });
    expect(sent.map(({ deviceId, kind }) => [deviceId, kind]).toSorted()).toEqual(
      [served, empty].map((device) => [device, 'desired']).toSorted(),
    );
  } finally {
    await client.end();
    await db.stop();
  }
});

it('lets the events of a dump be read that was taken from a cluster with more transactions', async () => {
  const db = await testDatabase();
  const client = new pg.Client({ connectionString: db.connectionString });
  await client.connect();
  try {
    const reader = new EventReader(db.database);
    const read = async () => (await reader.read({ tx: '0', id: '0' }, 10)).map(({ subject }) => subject);
    const insert = (subject: string, tx = 'DEFAULT') =>
      client.query(
        `INSERT INTO events (tx, fleet_id, type, subject) VALUES (${tx}, 'default', 'thing.changed', '${subject}')`,
      );
    await insert('oldest', `'5'`);
    await insert('first', `'900000'`);
    await insert('second', `'800000'`);
    expect(await read()).toEqual(['oldest']);
    await raiseEpoch(client);
    await insert('third');
    // An event is read when every older transaction of the server has ended, those of other tests' databases too.
    await expect.poll(read, { timeout: 20_000 }).toEqual(['oldest', 'first', 'second', 'third']);
  } finally {
    await client.end();
    await db.stop();
  }
});
