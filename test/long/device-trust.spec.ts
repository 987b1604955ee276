import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { api } from '@drover/contracts';
import type { Envelope, Execution, Release, Rollout } from '@drover/contracts';
import { bundledRecordings } from '@drover/recordings';
import { sleep } from '@drover/runtime';
import { HostileBroker, Testbed, eventually } from '@drover/testing';
import type { AgentProcess } from '@drover/testing';
import { generateKeyPair, signEnvelope } from '@drover/trust';

let testbed: Testbed;
let agent: AgentProcess;
let device: string;
/** What the device serves. */
let serving: Release;

beforeAll(async () => {
  testbed = await Testbed.start();
  const pump = { type: 'csv', path: bundledRecordings().faults[0]!, speed: 60, loop: true, time: 'recorded' };
  agent = await testbed.agent({ name: 'victim', config: { sensors: { pump } } });
  device = await testbed.online(agent);
  serving = await testbed.release();
  await testbed.waitForRollout((await rollOut(serving)).id, 'SUCCEEDED');
  await isServed(serving);
});
afterAll(() => testbed.stop());

const rollOut = (release: Release, options: object = {}): Promise<Rollout> =>
  testbed.rollout({
    pipeline: 'pump',
    release: release.id,
    target: { kind: 'devices', devices: [device] },
    ...options,
  });

const twin = () => testbed.client.call(api.devices.twin, { params: { device } });

const topic = (): string => `drover/v1/default/${device}/twin/desired`;

async function execution(rollout: Rollout): Promise<Execution> {
  const { items } = await testbed.client.call(api.executions.list, { query: { rollout: rollout.id } });
  return items[0]!;
}

/** Waits until the device reports that it serves a release, that it scores with it, and that nothing else is wanted of it. */
async function isServed(release: Release): Promise<void> {
  await eventually(
    `${release.id} to be served`,
    twin,
    (seen) =>
      seen.inSync &&
      seen.reported?.pipelines.pump?.release === release.id &&
      seen.desired.pipelines.pump?.release === release.id,
    { alsoShow: agent.tail },
  );
}

describe('a device keeps what it serves', () => {
  it('when an artifact was corrupted in the store', async () => {
    const release = await testbed.release({ window: 8 });
    for (const { digest } of release.variants) {
      const path = join(testbed.controlPlane.dataDir, 'artifacts', digest.slice(0, 2), digest.slice(2));
      const bytes = await readFile(path);
      bytes[bytes.length >> 1]! ^= 0x40;
      await writeFile(path, bytes);
    }
    const rollout = await rollOut(release);
    await testbed.waitForRollout(rollout.id, 'FAILED');
    expect(await execution(rollout)).toMatchObject({ status: 'FAILED', reason: 'digest-mismatch' });
    await isServed(serving);
  });

  it('while it is away, and converges when it is back', async () => {
    await agent.stop();
    await testbed.waitForDevice(device, 'the device to be offline', (seen) => !seen.online, agent);
    const release = await testbed.release({ window: 12 });
    const rollout = await rollOut(release, { stepTimeoutSeconds: 20 });
    await sleep(1_500);
    expect(await execution(rollout)).toMatchObject({ status: 'QUEUED', startedAt: null });
    await agent.start();
    await testbed.waitForRollout(rollout.id, 'SUCCEEDED');
    serving = release;
    await isServed(serving);
  });
});

describe('a device whose broker is in other hands', () => {
  let broker: HostileBroker;
  beforeAll(async () => {
    await agent.stop();
    const hostile = await HostileBroker.between(await agent.identity());
    broker = hostile.broker;
    await agent.setIdentity(hostile.identity);
    await agent.start();
    await eventually('the agent to connect', () => broker.connected, Boolean, { alsoShow: agent.tail });
    await eventually(
      'its desired state to pass',
      () => lastEnvelope(),
      (envelope) => envelope !== undefined,
    );
    await isServed(serving);
  });
  afterAll(async () => {
    await agent.stop();
    await broker.stop();
  });

  const lastEnvelope = (): Envelope | undefined => {
    const last = broker.passed.findLast((message) => message.topic === topic());
    return last && (JSON.parse(last.payload.toString('utf8')) as Envelope);
  };

  /** Says something to the device and waits until it has refused it for this reason; nothing may have changed. */
  async function refuses(what: unknown, code: string): Promise<void> {
    const before = (await agent.log()).length;
    const reported = (await twin()).reported!.desired;
    broker.say(topic(), what);
    await eventually(
      `a refusal for ${code}`,
      async () => (await agent.log()).slice(before),
      (log) => log.includes(`"code":"${code}"`),
      { timeoutMs: 10_000 },
    );
    expect((await twin()).reported!.desired).toEqual(reported);
    await isServed(serving);
  }

  it('refuses an instruction that was forged: changed, or signed with another key', async () => {
    const envelope = lastEnvelope()!;
    const newer = { ...envelope, version: envelope.version + 1 };
    await refuses(newer, 'signature-invalid');
    await refuses(signEnvelope(newer, [generateKeyPair()]), 'key-unknown');
  });

  it('refuses an instruction that the control plane has signed for another device', async () => {
    const other = await testbed.rawDevice(undefined, ['pump']);
    const connection = await other.connect();
    await connection.subscribe(other.topics.desired);
    const target = { kind: 'devices' as const, devices: [other.id] };
    const rollout = await testbed.rollout({ pipeline: 'pump', release: serving.id, target });
    const heard = await eventually(
      'the other device to be told what to serve',
      () => connection.heard.find((message) => message.payload.includes(rollout.id)),
      (message) => message !== undefined,
    );
    await refuses(heard!.payload, 'envelope-foreign');
    await testbed.client.call(api.rollouts.abort, { params: { rollout: rollout.id } });
  });

  it('refuses an older instruction that was signed for it, and takes the next one', async () => {
    const old = lastEnvelope()!;
    const release = await testbed.release({ window: 16 });
    await testbed.waitForRollout((await rollOut(release)).id, 'SUCCEEDED');
    serving = release;
    await isServed(serving);
    await refuses(old, 'downgrade-refused');
  });

  it('takes over new signing keys, and then refuses what the old ones have signed', async () => {
    const old = lastEnvelope()!;
    const before = (await twin()).reported!.keysVersion;
    const { client } = testbed;
    for (const purpose of ['twin', 'manifest']) await client.call(api.keys.rotate, { params: { purpose } });
    const release = await testbed.release({ window: 20 });
    await testbed.waitForRollout((await rollOut(release)).id, 'SUCCEEDED');
    serving = release;
    await client.call(api.keys.retire, { params: { purpose: 'twin' } });
    await eventually('the device to have the new keys only', twin, (seen) => seen.reported!.keysVersion >= before + 3);
    await isServed(serving);
    await refuses({ ...old, version: old.version + 100 }, 'key-unknown');
  });
});
