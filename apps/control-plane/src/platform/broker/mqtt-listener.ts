import { createServer as createPlainServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import { portProblem } from '../port-problem.ts';
import type { TlsMaterial } from './device-identity.ts';

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Small packets both ways: acknowledgements must not wait for more to send. */
const SOCKET_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** The environment variable that the port comes from, to name where it is taken. */
  readonly setting: string;
  readonly handshakeTimeoutMs?: number;
}

/** A server socket for MQTT: listens, renews its certificate while it runs, closes. */
export class MqttListener {
  readonly #server: Server;
  readonly #options: ListenOptions;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, options: ListenOptions) {
    this.#server = server;
    this.#options = options;
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /** TLS ≥ 1.2; with `clientCertificates` only for who shows one of an accepted authority. */
  static tls(
    options: ListenOptions & { readonly clientCertificates: boolean },
    material: TlsMaterial,
    onConnection: (socket: TLSSocket) => void,
    onFailure: (error: Error) => void,
  ): MqttListener {
    const { clientCertificates } = options;
    const server = createTlsServer(
      {
        ...contextOf(material, clientCertificates),
        ...SOCKET_OPTIONS,
        requestCert: clientCertificates,
        rejectUnauthorized: clientCertificates,
        handshakeTimeout: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
      },
      onConnection,
    );
    server.on('tlsClientError', (error, socket) => {
      // After a time-out Node only tells of it: the socket would stay open for as long as its peer likes.
      socket.destroy();
      onFailure(error);
    });
    return new MqttListener(server, options);
  }

  static plain(options: ListenOptions, onConnection: (socket: Socket) => void): MqttListener {
    return new MqttListener(createPlainServer(SOCKET_OPTIONS, onConnection), options);
  }

  /** Handshakes from now on use these; connections that exist keep theirs. */
  renew(material: TlsMaterial, clientCertificates: boolean): void {
    (this.#server as TlsServer).setSecureContext(contextOf(material, clientCertificates));
  }

  /** @returns the port @throws PortUnavailableError */
  start(): Promise<number> {
    const { host, port, setting } = this.#options;
    return new Promise((resolve, reject) => {
      const onError = (error: Error): void => reject(portProblem(error, setting, host, port));
      this.#server.once('error', onError);
      this.#server.listen({ host, port, backlog: 1_024 }, () => {
        this.#server.off('error', onError);
        // Out of file descriptors, for instance: the connection is lost, the listener stays.
        this.#server.on('error', () => undefined);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

function contextOf(material: TlsMaterial, clientCertificates: boolean) {
  return {
    key: material.key,
    cert: material.cert,
    ...(clientCertificates ? { ca: [...material.ca] } : {}),
    minVersion: 'TLSv1.2' as const,
  };
}
