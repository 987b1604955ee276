import { randomBytes } from 'node:crypto';
import { deviceTopics } from '@drover/contracts';
import type { StatusMessage } from '@drover/contracts';
import { silentLogger } from '@drover/runtime';
import { verifyEnvelope, verifyKeySet } from '@drover/trust';
import type { MqttClient } from 'mqtt';
import { Config } from '../../../config/config.ts';
import { testBroker } from '../../../platform/broker/broker.fixture.ts';
import type { TestBroker } from '../../../platform/broker/broker.fixture.ts';
import { testDatabase } from '../../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../../platform/database/test-database.fixture.ts';
import { KeyStore } from '../../../platform/keys/key-store.ts';
import { MasterKey } from '../../../platform/keys/master-key.ts';
import { DeviceOutboxRepository } from '../device-outbox.repository.ts';
import { devicesOn } from '../devices.fixture.ts';
import { RejectsRepository } from '../rejects/rejects.repository.ts';
import { RejectsService } from '../rejects/rejects.service.ts';
import { DeliveryRepository } from './delivery.repository.ts';
import { DeviceConversation } from './device-conversation.service.ts';
import { InstructionDelivery } from './instruction-delivery.service.ts';
import { InstructionSigner } from './instruction-signer.service.ts';
import { OutboxDrain } from './outbox-drain.service.ts';
import { PresenceRepository } from './presence.repository.ts';
import { Presence } from './presence.service.ts';

export interface HeardMessage {
  readonly topic: string;
  readonly body: any;
}

/** A device of the tests: registered, with a certificate; connects as the agent does. */
export interface TestDevice {
  readonly id: string;
  readonly topics: ReturnType<typeof deviceTopics>;
  readonly heard: HeardMessage[];
  client: MqttClient | undefined;
  connect(status?: Partial<StatusMessage>): Promise<void>;
  say(status: Partial<StatusMessage>): Promise<void>;
  /** The payloads heard on a topic. */
  on(topic: string): any[];
}

export interface TestDelivery {
  readonly db: TestDatabase;
  readonly mqtt: TestBroker;
  readonly presence: Presence;
  readonly drain: OutboxDrain;
  readonly keys: KeyStore;
  readonly devices: ReturnType<typeof devicesOn>;
  readonly outbox: DeviceOutboxRepository;
  readonly rejects: RejectsService;
  device(fleet?: string): Promise<TestDevice>;
  /** Checks an instruction as a device does. */
  verify(body: unknown, device: string, kind: 'twin' | 'command', fleet?: string): any;
  /** The types of the events about a device, in order. */
  eventsOf(device: string): Promise<string[]>;
  stop(): Promise<void>;
}

/** Broker, database and everything between them, as they run in the gateway. */
export async function testDelivery(leaseMs = 60_000): Promise<TestDelivery> {
  const db = await testDatabase();
  const mqtt = await testBroker();
  const config = new Config({ DROVER_PRESENCE_LEASE: `${leaseMs}ms` });
  const keys = new KeyStore(db.database, new MasterKey(randomBytes(32)));
  await keys.start();
  const devices = devicesOn(db.database);
  const rejects = new RejectsService(new RejectsRepository(db.database), mqtt.metrics);
  const repository = new DeliveryRepository(db.database);
  const presence = new Presence(new PresenceRepository(db.database), config, silentLogger);
  const instructions = new InstructionDelivery(
    mqtt.gateway,
    repository,
    new InstructionSigner(keys),
    keys,
    silentLogger,
  );
  const drain = new OutboxDrain(db.listener, repository, instructions, mqtt.gateway, silentLogger);
  new DeviceConversation(mqtt.gateway, presence, instructions, repository, drain, rejects, silentLogger).register();
  presence.start();
  drain.start();
  return {
    db,
    mqtt,
    presence,
    drain,
    keys,
    devices,
    outbox: new DeviceOutboxRepository(),
    rejects,
    device: async (fleet = 'default') => {
      const id = await devices.enter(fleet);
      await mqtt.enrol(fleet, id);
      return newDevice(mqtt, fleet, id);
    },
    verify: (body, device, kind, fleet = 'default') => {
      const keySet = verifyKeySet(keys.keySet, keys.rootPublicKey, 0);
      return verifyEnvelope(body, { kind, fleet, device, keySet, now: Date.now(), skewMs: 0 });
    },
    eventsOf: async (device) =>
      (await devices.eventsOf(device)).map(({ type }) => type).filter((type) => type !== 'device.enrolled'),
    stop: async () => {
      await drain.stop();
      await presence.stop();
      await mqtt.stop();
      await db.stop();
    },
  };
}

function statusText(status: Partial<StatusMessage>): string {
  return JSON.stringify({ online: true, bootId: 'boot', ...status });
}

function newDevice(mqtt: TestBroker, fleet: string, id: string): TestDevice {
  const topics = deviceTopics(fleet, id);
  const device: TestDevice = {
    id,
    topics,
    heard: [],
    client: undefined,
    connect: async (status = {}) => {
      const will = {
        topic: topics.status,
        payload: Buffer.from(statusText({ online: false })),
        qos: 1 as const,
        retain: true,
      };
      const client = await mqtt.connect(id, { will });
      device.client = client;
      client.on('message', (topic, bytes, { retain }) => {
        // The broker's copy comes with the subscription; what the server sends is what counts here.
        if (!retain) device.heard.push({ topic, body: JSON.parse(bytes.toString()) });
      });
      await client.subscribeAsync([topics.desired, topics.ack, topics.allCommands, topics.allChunks], { qos: 1 });
      await device.say(status);
    },
    say: async (status) => {
      await device.client!.publishAsync(topics.status, statusText(status), { qos: 1, retain: true });
    },
    on: (topic) => device.heard.filter((message) => message.topic === topic).map(({ body }) => body),
  };
  return device;
}
