import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { api } from '@drover/contracts';
import { enrol, renew } from '@drover/device-protocol';
import { ChildProgram, sleep } from '@drover/runtime';
import { ForeignAuthority, RawDevice, SOME_PROFILE, Testbed } from '@drover/testing';

let testbed: Testbed;
let one: RawDevice;
let other: RawDevice;
beforeAll(async () => {
  testbed = await Testbed.start();
  one = await testbed.rawDevice();
  other = await testbed.rawDevice();
});
afterAll(() => testbed.stop());

describe('two devices', () => {
  /** Below the other's prefix, in every way that a filter or topic can get there. */
  const ofTheOther = fc.oneof(
    fc.constantFrom('status', 'm/pump', 'e/anomaly', 'twin/reported', 'twin/desired', 'get/twin', 'ack', 'cmd/erase/1'),
    fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom('a', 'Z', '0', '-', '_', '/') }),
  );

  it('cannot publish on each other’s topics, in either direction, and nothing of it arrives', async () => {
    await fc.assert(
      fc.asyncProperty(ofTheOther, fc.boolean(), async (topic, turned) => {
        const [attacker, victim] = turned ? [other, one] : [one, other];
        const listening = await victim.connect();
        await Promise.all([
          listening.subscribe(victim.topics.desired),
          listening.subscribe(victim.topics.ack),
          listening.subscribe(victim.topics.allCommands),
        ]);
        const heard = listening.heard.length;
        const attacking = await attacker.connect();
        await expect(attacking.publish(`${victim.topics.prefix}/${topic}`, { forged: true })).rejects.toThrow();
        expect(attacking.open).toBe(false);
        expect(listening.heard.slice(heard).some((message) => message.payload.includes('forged'))).toBe(false);
        await listening.end();
      }),
      { numRuns: 12 },
    );
    expect(await testbed.controlPlane.query('SELECT FROM samples LIMIT 1')).toEqual([]);
  });

  it('cannot listen to each other’s topics, whatever the wildcard', async () => {
    const around = fc.constantFrom(
      (prefix: string) => `${prefix}/#`,
      (prefix: string) => `${prefix}/twin/desired`,
      (prefix: string) => `${prefix}/+/+`,
      (prefix: string) => `$share/group/${prefix}/ack`,
      () => '#',
      () => 'drover/#',
      () => 'drover/v1/default/+/twin/desired',
      () => 'drover/v1/+/+/ack',
      () => '+/+/+/+/ack',
      () => '$SYS/#',
    );
    await fc.assert(
      fc.asyncProperty(around, fc.boolean(), async (filterOf, turned) => {
        const [attacker, victim] = turned ? [other, one] : [one, other];
        const attacking = await attacker.connect();
        expect(await attacking.subscribe(filterOf(victim.topics.prefix))).toBe(128);
        await attacking.end();
      }),
      { numRuns: 15 },
    );
  });
});

const sample = (seq: number, more: object = {}) => ({
  bootId: 'boot-1',
  class: 'm',
  seq,
  t: 1_700_000_000_000 + seq,
  channels: ['a'],
  values: [seq],
  ...more,
});

describe('poison', () => {
  it('is acknowledged and set aside, and what follows it on the same connection is stored', async () => {
    const connection = await one.connect();
    const topic = one.topics.measurements('poison');
    const poison: unknown[] = [
      '',
      '{',
      '[]',
      Buffer.from([0xff, 0x00, 0x9f]),
      sample(900, { seq: -1 }),
      sample(901, { values: [1, 2] }),
      sample(902, { channels: ['nul\u0000'] }),
      sample(903, { t: 'yesterday' }),
      sample(904, { values: [1e300] }),
      sample(905, { bootId: '../../etc' }),
    ];
    for (const [i, payload] of poison.entries()) {
      await connection.publish(topic, payload);
      await connection.publish(topic, sample(i + 1));
    }
    await connection.publish(one.topics.event('anomaly'), {
      bootId: 'boot-1',
      class: 'e',
      seq: 1,
      anomaly: { id: 'x' },
    });
    await connection.publish(one.topics.event('execution'), '{"nested":'.repeat(2_000));
    await connection.publish(one.topics.reported, { bootId: 'boot-1', class: 's', seq: 1, reported: 'nothing' });
    expect(connection.open).toBe(true);
    const { rows } = await testbed.client.call(api.devices.measurements, {
      params: { device: one.id },
      query: { stream: 'poison', channels: 'a' },
    });
    expect(rows.map((row) => row.values![0])).toEqual(poison.map((_, i) => i + 1));
    const rejects = await testbed.client.call(api.rejects.list, { query: { device: one.id, limit: 100 } });
    expect(rejects.items).toHaveLength(poison.length + 3);
    await connection.end();
  });
});

/** Whether the broker lets a device in with these. */
const letsIn = (device: RawDevice, options: Parameters<RawDevice['connect']>[0]): Promise<boolean> =>
  device.connect(options).then(
    async (connection) => {
      await connection.end();
      return true;
    },
    () => false,
  );

describe('credentials', () => {
  it('that were made by somebody else are refused, however much they look like the real ones', async () => {
    const { certificate, authorities } = one.identity;
    const subject = 'CN=Drover authority';
    const forged = await (await ForeignAuthority.create(subject)).forge(certificate);
    expect(await letsIn(one, { cert: forged.certificate, key: forged.privateKeyPem })).toBe(false);
    const chain = `${forged.certificate}\n${authorities.join('\n')}`;
    expect(await letsIn(one, { cert: chain, key: forged.privateKeyPem })).toBe(false);
    expect(await letsIn(one, { cert: undefined, key: undefined } as never)).toBe(false);
    await expect(renew({ ...one.identity, ...forged })).rejects.toThrow();
    expect(await letsIn(one, {})).toBe(true);
  });

  it('of one device do not let it in as another, and do not disturb that one', async () => {
    const victim = await other.connect();
    expect(await letsIn(one, { clientId: other.id })).toBe(false);
    await victim.publish(other.topics.status, { online: true, bootId: 'boot-1' }, { retain: true });
    expect(victim.open).toBe(true);
    await victim.end();
  });

  it('that were used before: a token for one device enrols no second one', async () => {
    const { url, token } = await testbed.token({ maxUses: 1 });
    await enrol({ url, token, profile: SOME_PROFILE });
    await expect(enrol({ url, token, profile: SOME_PROFILE })).rejects.toThrow(/token/);
    const changed = `${token.slice(0, -4)}AAAA`;
    await expect(enrol({ url, token: changed, profile: SOME_PROFILE })).rejects.toThrow(/token/);
  });

  it('that are revoked end the live connection at once, and let nobody in again', async () => {
    const device = await testbed.rawDevice();
    const connection = await device.connect();
    await connection.publish(device.topics.status, { online: true, bootId: 'boot-1' }, { retain: true });
    await testbed.client.call(api.devices.revokeCertificates, { params: { device: device.id }, body: {} });
    await Promise.race([connection.closed, sleep(3_000)]);
    expect(connection.open).toBe(false);
    expect(await letsIn(device, {})).toBe(false);
    await expect(renew(device.identity)).rejects.toThrow();
  });

  it('of a decommissioned device make its agent erase itself', async () => {
    const agent = await testbed.agent({ name: 'retired', config: { sensors: { host: { type: 'host' } } } });
    const device = await testbed.online(agent);
    await testbed.client.call(api.devices.decommission, { params: { device } });
    expect(await Promise.race([agent.exited, sleep(20_000)])).toEqual({ code: 79, signal: null });
    await expect(agent.identity()).rejects.toThrow(/ENOENT/);
  });
});

describe('two fleets', () => {
  it('see nothing of each other: devices, models, rollouts, rejects, events', async () => {
    const { client, controlPlane } = testbed;
    for (const id of ['east', 'west']) await client.call(api.fleets.create, { body: { id, name: id } });
    const keyOf = async (fleet: string): Promise<string> =>
      (await controlPlane.client({ fleet }).call(api.apiKeys.create, { body: { name: fleet, role: 'admin' } })).secret;
    const east = controlPlane.client({ apiKey: await keyOf('east') });
    const west = controlPlane.client({ apiKey: await keyOf('west') });
    const device = await testbed.rawDevice('east');
    const connection = await device.connect();
    await connection.publish(device.topics.event('anomaly'), 'poison');
    await connection.publish(device.topics.measurements('s'), {
      bootId: 'b',
      class: 'm',
      seq: 1,
      t: Date.now(),
      channels: ['a'],
      values: [1],
    });
    await east.call(api.models.create, { body: { id: 'secret', name: 'Secret' } });
    const { digest } = await east.upload(Buffer.from('secret bytes'));
    expect((await east.call(api.devices.list)).items).toHaveLength(1);
    expect((await east.call(api.rejects.list)).items).toHaveLength(1);
    for (const route of [
      api.devices.list,
      api.models.list,
      api.rollouts.list,
      api.artifacts.list,
      api.rejects.list,
      api.anomalies.list,
    ])
      expect((await west.call(route)).items).toEqual([]);
    await expect(west.call(api.devices.get, { params: { device: device.id } })).rejects.toMatchObject({
      code: 'not-found',
    });
    await expect(west.call(api.devices.twin, { params: { device: device.id } })).rejects.toMatchObject({
      code: 'not-found',
    });
    await expect(west.download(digest)).rejects.toMatchObject({ code: 'not-found' });
    await connection.end();
    const stopping = new AbortController();
    setTimeout(() => stopping.abort(), 1_000);
    const heard: string[] = [];
    try {
      for await (const event of west.events({ after: '0', signal: stopping.signal })) heard.push(event.fleet);
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
    }
    expect(heard.length).toBeGreaterThan(0);
    expect(new Set(heard)).toEqual(new Set(['west']));
  });

  it('of which a device is in one cannot publish as one of the other', async () => {
    const device = await testbed.rawDevice('east');
    const connection = await device.connect();
    await expect(connection.publish(`drover/v1/west/${device.id}/status`, { online: true })).rejects.toThrow();
  });
});

/** Other people's clients: a device is no Drover program, it speaks MQTT. */
const mosquitto = spawnSync('mosquitto_pub', ['--help']).error === undefined;
if (!mosquitto) console.warn('mosquitto-clients is not installed: what Debian’s MQTT clients can do is not tested.');

const at = (listener: string): string[] => {
  const { hostname, port } = new URL(testbed.controlPlane.listeners[listener]!);
  return ['-h', hostname, '-p', port];
};

async function run(file: string, args: readonly string[]): Promise<{ code: number | null; lines: string[] }> {
  const program = new ChildProgram({ name: file, file, args });
  await program.start();
  const { code } = await program.exited;
  return { code, lines: program.outputTail.split('\n').filter((line) => line !== '') };
}

describe.skipIf(!mosquitto)('Debian’s mosquitto_pub and mosquitto_sub', () => {
  let device: RawDevice;
  let identity: string[];
  beforeAll(async () => {
    device = await testbed.rawDevice();
    const { certificate, privateKeyPem, authorities } = device.identity;
    const files = { cert: certificate, key: privateKeyPem, cafile: authorities.join('\n') };
    identity = ['-i', device.id];
    for (const [name, content] of Object.entries(files)) {
      const path = join(testbed.folder, `${name}.pem`);
      await writeFile(path, content);
      identity.push(`--${name}`, path);
    }
  });

  it('connect with an issued certificate, and are refused outside their topics', async () => {
    const broker = [...at('device-mqtt'), ...identity, '-q', '1'];
    const message = JSON.stringify(sample(1));
    const sent = await run('mosquitto_pub', [...broker, '-t', device.topics.measurements('shell'), '-m', message]);
    expect(sent).toEqual({ code: 0, lines: [] });
    const streams = await testbed.client.call(api.devices.streams, { params: { device: device.id } });
    expect(JSON.stringify(streams)).toContain('shell');
    expect((await run('mosquitto_pub', [...broker, '-t', one.topics.measurements('shell'), '-m', '{}'])).code).not.toBe(
      0,
    );
    const listened = await run('mosquitto_sub', [...broker, '-W', '3', '-t', 'drover/v1/default/+/twin/desired']);
    expect(listened.lines.join()).not.toContain('signatures');
    expect(listened.code).not.toBe(0);
  });

  it('read the feed of their fleet with an API key', async () => {
    const { secret } = await testbed.client.call(api.apiKeys.create, { body: { name: 'feed', role: 'viewer' } });
    const cafile = identity[identity.indexOf('--cafile') + 1]!;
    const feed = new ChildProgram({
      name: 'mosquitto_sub',
      file: 'mosquitto_sub',
      args: [
        ...at('events-mqtt'),
        '--cafile',
        cafile,
        '-u',
        'feed',
        '-P',
        secret,
        '-v',
        '-t',
        'drover-events/v1/#',
        '-W',
        '20',
      ],
    });
    await feed.start();
    const reading = feed.readLine((line) => (line.includes('device.updated') ? line : undefined), 15_000);
    const change = async (): Promise<void> => {
      const body = { tags: { at: String(Date.now()) } };
      await testbed.client.call(api.devices.update, { params: { device: device.id }, body });
    };
    const poke = setInterval(() => void change().catch(() => undefined), 300);
    try {
      expect(await reading).toContain(`drover-events/v1/default/${device.id}/device.updated {`);
    } finally {
      clearInterval(poke);
      await feed.stop();
    }
  });
});

describe('a second start', () => {
  it('finds all state again', async () => {
    const before = await testbed.client.call(api.devices.list);
    expect(await testbed.controlPlane.stop()).toEqual({ code: 0, signal: null });
    await testbed.controlPlane.start();
    expect((await testbed.client.call(api.devices.list)).items.length).toBe(before.items.length);
    expect(await letsIn(one, {})).toBe(true);
  });
});
