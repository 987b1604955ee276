import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { connect, createServer } from 'node:tls';
import type { Server, TLSSocket } from 'node:tls';
import type { DeviceIdentity } from '@drover/device-protocol';
import mqttPacket from 'mqtt-packet';
import type { HeardMessage } from './raw-device.ts';
import { ForeignAuthority } from './foreign-authority.ts';

/**
 * Somebody between a device and its broker, whom the device trusts as its broker: he has the device's own certificate and lets
 * everything through, and says to the device whatever he likes besides. What he has not is the control plane's signing keys.
 */
export class HostileBroker {
  /** Everything that the real broker has published to the device. */
  readonly passed: HeardMessage[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();
  #device: TLSSocket | undefined;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @returns it, and the identity with which the device takes it for its broker */
  static async between(identity: DeviceIdentity): Promise<{ broker: HostileBroker; identity: DeviceIdentity }> {
    const authority = await ForeignAuthority.create();
    const { certificate, privateKeyPem } = await authority.server();
    const server = createServer({ cert: certificate, key: privateKeyPem });
    const broker = new HostileBroker(server);
    server.on('secureConnection', (socket) => broker.#relay(socket, identity));
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return {
      broker,
      identity: {
        ...identity,
        authorities: [...identity.authorities, authority.certificate],
        mqtt: { ...identity.mqtt, urls: [`mqtts://localhost:${port}`] },
      },
    };
  }

  get connected(): boolean {
    return this.#device !== undefined && !this.#device.destroyed;
  }

  /** Publishes to the device as its broker would. */
  say(topic: string, payload: unknown): void {
    const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload));
    this.#device?.write(
      mqttPacket.generate({ cmd: 'publish', topic, payload: bytes, qos: 0, dup: false, retain: false }),
    );
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #relay(device: TLSSocket, identity: DeviceIdentity): void {
    const { hostname, port } = new URL(identity.mqtt.urls[0]!);
    const upstream = connect({
      host: hostname,
      port: Number(port),
      servername: hostname,
      ca: [...identity.authorities],
      cert: identity.certificate,
      key: identity.privateKeyPem,
    });
    this.#device = device;
    for (const socket of [device, upstream]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        device.destroy();
        upstream.destroy();
      });
    }
    device.pipe(upstream);
    // Whole packets, so that another can be put between two of them.
    const parser = mqttPacket.parser({ protocolVersion: 4 });
    parser.on('packet', (packet) => {
      if (packet.cmd === 'publish') this.passed.push({ topic: packet.topic, payload: Buffer.from(packet.payload) });
      device.write(mqttPacket.generate(packet));
    });
    upstream.on('data', (bytes) => parser.parse(bytes));
  }
}
