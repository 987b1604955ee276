import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { silentLogger } from '@drover/runtime';
import { connectAsync } from 'mqtt';
import type { IClientOptions, MqttClient } from 'mqtt';
import { Listeners } from '../listeners.ts';
import { Metrics } from '../metrics.ts';
import { TestAuthority } from './certificates.fixture.ts';
import type { IssuedCertificate } from './certificates.fixture.ts';
import { DeviceGateway } from './device-gateway.ts';
import type { DeviceMessage, DeviceMessageKind, DevicePrincipal } from './device-gateway.ts';
import { DeviceIdentity } from './device-identity.ts';
import { EmbeddedBroker } from './embedded-broker.ts';
import type { EmbeddedBrokerOptions } from './embedded-broker.ts';

const ALL_KINDS: readonly DeviceMessageKind[] = [
  'status',
  'measurement',
  'event',
  'reported',
  'command-status',
  'get:twin',
  'get:chunk',
  'get:time',
];

export interface TestBroker {
  readonly broker: EmbeddedBroker;
  readonly gateway: DeviceGateway;
  readonly identity: DeviceIdentity;
  readonly authority: TestAuthority;
  readonly metrics: Metrics;
  readonly listeners: Listeners;
  readonly port: number;
  /** What was handed to the gateway, in order. */
  readonly received: DeviceMessage[];
  /** Called before a message counts as committed. */
  onMessage: (message: DeviceMessage) => Promise<void>;
  /** A certificate that the broker knows as this device's. */
  enrol(fleet: string, device: string, lifetimeMs?: number): Promise<IssuedCertificate>;
  /** From now on the device's certificates are worth nothing. */
  distrust(device: string): void;
  /** mqtt.js; rejects where the broker refuses. Never connects again by itself. */
  connect(device: string, options?: IClientOptions & { certificate?: IssuedCertificate }): Promise<MqttClient>;
  /** The bare TLS connection of an enrolled device. */
  open(device: string): Promise<TLSSocket>;
  refused(reason: string): Promise<number>;
  stop(): Promise<void>;
}

/** A real embedded broker on a free port, with an authority of its own, and handlers that note what they are given. */
export async function testBroker(options: Partial<EmbeddedBrokerOptions> = {}): Promise<TestBroker> {
  const authority = await TestAuthority.create();
  const server = await authority.server();
  const principals = new Map<string, DevicePrincipal>();
  const certificates = new Map<string, IssuedCertificate>();
  const clients = new Set<MqttClient>();
  const identity = new DeviceIdentity();
  identity.setMaterial({ key: server.key, cert: server.cert + authority.cert, ca: [authority.cert] });
  identity.provide({
    authenticate: async (der) => principals.get(new X509Certificate(der).serialNumber.toLowerCase()) ?? null,
  });
  const gateway = new DeviceGateway();
  const metrics = new Metrics();
  const listeners = new Listeners();
  const received: DeviceMessage[] = [];
  for (const kind of ALL_KINDS) {
    gateway.register(kind, async (message) => {
      received.push(message);
      await test.onMessage(message);
    });
  }
  const broker = new EmbeddedBroker({
    host: '127.0.0.1',
    port: 0,
    publicHost: 'localhost',
    gateway,
    identity,
    findDevelopmentDevice: async () => null,
    listeners,
    metrics,
    logger: silentLogger,
    sweepEveryMs: 20,
    ...options,
  });
  await broker.start();
  const port = Number(new URL(listeners.url('device-mqtt')!).port);
  const tls = (certificate: IssuedCertificate) => ({
    key: certificate.key,
    cert: certificate.cert,
    ca: authority.cert,
  });

  const test: TestBroker = {
    broker,
    gateway,
    identity,
    authority,
    metrics,
    listeners,
    port,
    received,
    onMessage: async () => undefined,
    enrol: async (fleet, device, lifetimeMs) => {
      const certificate = await authority.device(device, lifetimeMs);
      principals.set(certificate.serial, { fleet, device, certificateSerial: certificate.serial });
      certificates.set(device, certificate);
      return certificate;
    },
    distrust: (device) => {
      for (const [serial, principal] of principals) if (principal.device === device) principals.delete(serial);
    },
    connect: async (device, { certificate, ...rest } = {}) => {
      const client = await connectAsync(
        `mqtts://localhost:${port}`,
        { ...tls(certificate ?? certificates.get(device)!), clientId: device, reconnectPeriod: 0, ...rest },
        false,
      );
      client.on('error', () => undefined);
      clients.add(client);
      return client;
    },
    open: async (device) => {
      const socket = connectTls({ host: 'localhost', port, ...tls(certificates.get(device)!) });
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
      return socket;
    },
    refused: async (reason) => {
      const text = await metrics.registry.getSingleMetricAsString('drover_mqtt_refused_total');
      return Number(new RegExp(`reason="${reason}"} (\\d+)`).exec(text)?.[1] ?? 0);
    },
    stop: async () => {
      for (const client of clients) client.end(true);
      await broker.stop();
    },
  };
  return test;
}
