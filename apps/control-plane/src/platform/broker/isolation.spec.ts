import { deviceMaySubscribe, deviceTopics, parseDeviceTopic } from '@drover/contracts';
import * as fc from 'fast-check';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testBroker } from './broker.fixture.ts';
import type { TestBroker } from './broker.fixture.ts';
import { filterMatches } from './topic-filter.ts';

const DEVICES = [
  { fleet: 'default', device: 'd-1' },
  { fleet: 'default', device: 'd-2' },
  { fleet: 'other', device: 'd-3' },
] as const;

/** Topics and filters of the protocol, with any of their parts replaced, doubled or left out. */
const level = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('drover', 'v1', 'default', 'other', 'd-1', 'd-2', 'd-3') },
  {
    weight: 6,
    arbitrary: fc.constantFrom('status', 'm', 'e', 'twin', 'reported', 'desired', 'get', 'cmd', 'chunk', 'ack', 'time'),
  },
  { weight: 4, arbitrary: fc.constantFrom('+', '#', '$SYS', '$share', 'g', '', 'a'.repeat(64), '0', 'anomaly') },
  {
    weight: 1,
    arbitrary: fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' }).filter((text) => !text.includes('\u0000')),
  },
);
const device = fc.constantFrom(...DEVICES);
const protocolTopic = device.chain(({ fleet, device: id }) => {
  const topics = deviceTopics(fleet, id);
  return fc.constantFrom(
    topics.status,
    topics.reported,
    topics.desired,
    topics.ack,
    topics.allCommands,
    topics.allChunks,
    topics.measurements('s'),
    topics.event('anomaly'),
    topics.get('time'),
    topics.command('erase', 'c'),
    topics.commandStatus('erase', 'c'),
    topics.chunk('a'.repeat(64), 0),
    `${topics.prefix}/#`,
    `${topics.prefix}/+`,
    `$share/g/${topics.desired}`,
  );
});
const mutated = fc
  .tuple(protocolTopic, fc.nat(8), level, fc.constantFrom('replace', 'insert', 'remove'))
  .map(([topic, at, part, how]) => {
    const parts = topic.split('/');
    if (how === 'replace') parts[at % parts.length] = part;
    else parts.splice(at % parts.length, how === 'insert' ? 0 : 1, ...(how === 'insert' ? [part] : []));
    return parts.join('/');
  });
const topic = fc
  .oneof(
    protocolTopic,
    mutated,
    fc.array(level, { minLength: 1, maxLength: 9 }).map((parts) => parts.join('/')),
  )
  .filter((text) => text !== '');

let test: TestBroker;
beforeAll(async () => {
  test = await testBroker();
  for (const { fleet, device: id } of DEVICES) await test.enrol(fleet, id);
});
afterAll(() => test.stop());

/** Whether the connection survived what was tried on it. */
async function survives(client: MqttClient, attempt: (done: () => void) => void): Promise<boolean> {
  return new Promise((resolve) => {
    client.once('close', () => resolve(false));
    attempt(() => resolve(true));
  });
}

describe('two devices', () => {
  it('never write to each other: whatever topic is tried, what is handled is below the own prefix and for devices to say', async () => {
    await fc.assert(
      fc.asyncProperty(device, topic, async (who, tried) => {
        test.received.length = 0;
        const client = await test.connect(who.device);
        const accepted = await survives(client, (done) =>
          client.publish(tried, '{}', { qos: 1 }, (error) => (error ? client.end(true) : done())),
        );
        const parsed = parseDeviceTopic(tried);
        const allowed = parsed?.from === 'device' && parsed.fleet === who.fleet && parsed.device === who.device;
        expect(accepted).toBe(allowed);
        expect(test.received.map((message) => message.topic)).toEqual(allowed ? [tried] : []);
        for (const { principal } of test.received) expect(principal).toMatchObject(who);
        client.end(true);
      }),
      { numRuns: 150 },
    );
  });

  it('never read from each other: whatever filter is tried, only what the server says to the own device arrives', async () => {
    await fc.assert(
      fc.asyncProperty(device, topic, async (who, filter) => {
        const client = await test.connect(who.device);
        const heard: string[] = [];
        client.on('message', (name) => heard.push(name));
        const accepted = await survives(client, (done) =>
          client.subscribe(filter, { qos: 1 }, (error) => (error ? client.end(true) : done())),
        );
        expect(accepted).toBe(deviceMaySubscribe(who.fleet, who.device, filter));
        if (accepted) {
          const sent: string[] = [];
          for (const { fleet, device: id } of DEVICES) {
            const topics = deviceTopics(fleet, id);
            for (const name of [
              topics.desired,
              topics.ack,
              topics.command('erase', 'c'),
              topics.chunk('a'.repeat(64), 0),
            ]) {
              await test.broker.publish(name, Buffer.from('{}'), { qos: 1 });
              if (id === who.device && filterMatches(filter, name)) sent.push(name);
            }
          }
          const own = deviceTopics(who.fleet, who.device);
          await client.subscribeAsync(own.ack);
          await test.broker.publish(own.ack, Buffer.from('end'), { qos: 1 });
          await expect.poll(() => heard.length, { timeout: 10_000, interval: 5 }).toBe(sent.length + 1);
          expect(heard.slice(0, -1)).toEqual(sent);
        }
        client.end(true);
      }),
      { numRuns: 150 },
    );
  });
});
