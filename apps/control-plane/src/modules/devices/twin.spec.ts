import type { DesiredPipeline } from '@drover/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase } from '../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../platform/database/test-database.fixture.ts';
import { devicesOn } from './devices.fixture.ts';

let test: TestDatabase;
let devices: ReturnType<typeof devicesOn>;
beforeAll(async () => {
  test = await testDatabase();
  devices = devicesOn(test.database);
});
afterAll(() => test.stop());

function running(release: string, candidates = ['pca-int8']): DesiredPipeline {
  return {
    release,
    releaseVersion: 1,
    rollout: 'ro_1',
    execution: 'ex_1',
    manifest: { digest: 'a'.repeat(64), sizeBytes: 1_000 },
    candidates,
    calibration: null,
  };
}

const outboxOf = async (device: string) =>
  (await test.database.prisma.deviceOutbox.findMany({ where: { deviceId: device } })).map((row) => row.kind);

const waveOver = (order: string[], release: string) =>
  test.database.transaction((tx) =>
    devices.twins.changePipelines(
      tx,
      'default',
      order.map((device) => ({ device, pipeline: 'main', desired: running(release) })),
    ),
  );

describe('the desired state of a device', () => {
  it('changes one slot, with a version, a notice to the gateway and an event, and gives back what was there', async () => {
    const id = await devices.enter();
    const change = (release: string | null) =>
      test.database.transaction((tx) =>
        devices.twins.changePipeline(tx, 'default', id, 'main', release === null ? null : running(release)),
      );
    expect(await change('first')).toBeNull();
    expect(await change('second')).toEqual(running('first'));
    expect(await devices.twins.get('default', id)).toMatchObject({
      version: 2,
      inSync: false,
      desired: { pipelines: { main: { release: 'second' } }, config: { heartbeatMs: 30_000 } },
    });
    expect(await change(null)).toEqual(running('second'));
    expect((await devices.twins.get('default', id)).desired.pipelines).toEqual({});
    expect(await outboxOf(id)).toEqual(['desired', 'desired', 'desired']);
    expect((await devices.eventsOf(id)).slice(1)).toMatchObject([
      { type: 'twin.desired-changed', data: { pipeline: 'main', version: 1, release: 'first', execution: 'ex_1' } },
      { type: 'twin.desired-changed', data: { version: 2, release: 'second' } },
      { type: 'twin.desired-changed', data: { version: 3, release: null } },
    ]);
  });

  it('leaves the other slots alone when several are changed at once', async () => {
    const id = await devices.enter();
    const slots = Array.from({ length: 12 }, (_, i) => `slot-${i}`);
    await Promise.all(
      slots.map((slot) =>
        test.database.transaction((tx) => devices.twins.changePipeline(tx, 'default', id, slot, running(slot))),
      ),
    );
    const twin = await devices.twins.get('default', id);
    expect(twin.version).toBe(12);
    expect(Object.keys(twin.desired.pipelines).toSorted()).toEqual(slots.toSorted());
  });

  it('gives every one of several concurrent changes of one slot the value it really replaced', async () => {
    const id = await devices.enter();
    const releases = Array.from({ length: 10 }, (_, i) => `r${i}`);
    const previous = await Promise.all(
      releases.map((release) =>
        test.database.transaction((tx) => devices.twins.changePipeline(tx, 'default', id, 'main', running(release))),
      ),
    );
    const last = (await devices.twins.get('default', id)).desired.pipelines['main']!.release;
    // A chain: everything but the last value was replaced exactly once, and once there was nothing.
    expect(previous.map((before) => before?.release ?? 'nothing').toSorted()).toEqual(
      ['nothing', ...releases.filter((release) => release !== last)].toSorted(),
    );
  });

  it('changes a whole wave in one statement, and answers in its order', async () => {
    const ids = await Promise.all(Array.from({ length: 40 }, () => devices.enter()));
    const wave = ids.map((device, i) => ({ device, pipeline: 'main', desired: i === 3 ? null : running(`w${i}`) }));
    const changed = await test.database.transaction((tx) => devices.twins.changePipelines(tx, 'default', wave));
    expect(changed.map((change) => change.device)).toEqual(ids);
    expect((await devices.twins.get('default', ids[7]!)).desired.pipelines['main']?.release).toBe('w7');
    expect((await devices.twins.get('default', ids[3]!)).desired.pipelines).toEqual({});
  });

  it('does not wait in a circle when two waves over the same devices come in opposite order', async () => {
    const ids = await Promise.all(Array.from({ length: 30 }, () => devices.enter()));
    await Promise.all(Array.from({ length: 6 }, (_, i) => waveOver(i % 2 === 0 ? ids : ids.toReversed(), `r${i}`)));
    for (const id of ids) expect((await devices.twins.get('default', id)).version).toBe(6);
  });

  it('changes nothing at all when one device is unknown or of another fleet', async () => {
    const id = await devices.enter();
    const foreign = await devices.enter('other');
    const wave = [id, foreign].map((device) => ({ device, pipeline: 'main', desired: running('r') }));
    await expect(
      test.database.transaction((tx) => devices.twins.changePipelines(tx, 'default', wave)),
    ).rejects.toMatchObject({ code: 'not-found' });
    for (const [fleet, device] of [
      ['default', id],
      ['other', foreign],
    ] as const)
      expect((await devices.twins.get(fleet, device)).version).toBe(0);
    expect(await outboxOf(id)).toEqual([]);
  });

  it('is refused where it would be larger than a device takes', async () => {
    const id = await devices.enter();
    const large = running(
      'r',
      Array.from({ length: 32 }, (_, i) => `${'x'.repeat(60)}${i}`),
    );
    const fill = async () => {
      for (let i = 0; i < 40; i++)
        await test.database.transaction((tx) => devices.twins.changePipeline(tx, 'default', id, `p${i}`, large));
    };
    await expect(fill()).rejects.toMatchObject({ code: 'twin-too-large', fault: 'caller' });
    const { desired, version } = await devices.twins.get('default', id);
    expect(version).toBe(Object.keys(desired.pipelines).length);
    expect(version).toBeGreaterThan(10);
  });

  it('takes the epoch of a restored instance with its next change', async () => {
    const id = await devices.enter();
    await test.database.prisma.instance.update({ where: { id: 1 }, data: { epoch: 5 } });
    await test.database.transaction((tx) => devices.twins.changePipeline(tx, 'default', id, 'main', running('r')));
    expect(await devices.twins.get('default', id)).toMatchObject({ epoch: 5, version: 1 });
    await test.database.prisma.instance.update({ where: { id: 1 }, data: { epoch: 1 } });
  });

  it('is sent again to all active devices of all fleets, and only to those, after a rotation', async () => {
    const gone = await devices.enter();
    const other = await devices.enter('other');
    await test.database.transaction((tx) => devices.lifecycle.decommission(tx, 'default', gone));
    const count = await test.database.transaction((tx) => devices.twins.markAllForResend(tx));
    expect(count).toBe(await test.database.prisma.device.count({ where: { state: 'active' } }));
    expect(await outboxOf(other)).toEqual(['desired']);
    expect(await outboxOf(gone)).toEqual([]);
  });
});
