import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestAuthority } from './certificates.fixture.ts';
import { MqttListener } from './mqtt-listener.ts';

const HANDSHAKE_TIMEOUT_MS = 200;

describe('the listener for MQTT over TLS', () => {
  let listener: MqttListener;
  let port: number;
  const failures: string[] = [];

  beforeAll(async () => {
    const authority = await TestAuthority.create();
    const { key, cert } = await authority.server();
    listener = MqttListener.tls(
      {
        host: '127.0.0.1',
        port: 0,
        setting: 'DROVER_MQTT_PORT',
        clientCertificates: true,
        handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
      },
      { key, cert, ca: [authority.cert] },
      () => undefined,
      (error) => failures.push((error as NodeJS.ErrnoException).code ?? error.message),
    );
    port = await listener.start();
  });
  afterAll(() => listener.stop());

  it.each([
    ['says nothing', Buffer.alloc(0)],
    ['stops in the middle of a handshake', Buffer.from([0x16, 3, 1, 2, 0, 1])],
  ])('does not keep a connection that %s', async (_, bytes) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(bytes);
    await once(socket, 'close');
    expect(failures.at(-1)).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
  });

  it('ends what is no TLS at once', async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    const startedAt = performance.now();
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await once(socket, 'close');
    expect(performance.now() - startedAt).toBeLessThan(HANDSHAKE_TIMEOUT_MS);
  });
});
