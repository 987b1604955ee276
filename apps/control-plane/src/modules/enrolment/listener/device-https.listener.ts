import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { messageOf } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import type { Counter } from 'prom-client';
import { Config } from '../../../config/config.ts';
import { DeviceIdentity } from '../../../platform/broker/device-identity.ts';
import type { TlsMaterial } from '../../../platform/broker/device-identity.ts';
import type { DevicePrincipal } from '../../../platform/broker/device-gateway.ts';
import { DeviceRoutes } from '../../../platform/http/device-listener.ts';
import { UnauthenticatedError } from '../../../platform/http/errors.ts';
import { problemOf } from '../../../platform/http/problem.ts';
import { Listeners } from '../../../platform/listeners.ts';
import { Metrics } from '../../../platform/metrics.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { portProblem } from '../../../platform/port-problem.ts';
import { DeviceAuthenticator } from '../device-authenticator.ts';
import { DeviceDecommissionedError, MethodNotAllowedError, TooManyAttemptsError } from '../errors.ts';
import { DEVICE_HTTPS } from '../public-addresses.ts';
import { RevocationService } from '../revocation.service.ts';
import { readJson } from './request-body.ts';
import { matchRoute } from './route-table.ts';

const TIMEOUTS = {
  handshakeTimeout: 10_000,
  headersTimeout: 10_000,
  /** For a whole request, its body included. */
  requestTimeout: 30_000,
  keepAliveTimeout: 15_000,
  connectionsCheckingInterval: 2_000,
};
/** Nothing sent or received: a device that has gone while it fetched an artifact. */
const IDLE_MS = 60_000;
const MAX_HEADER_BYTES = 16 * 2 ** 10;
const MAX_CONNECTIONS = 4_096;
const CLOSE_GRACE_MS = 1_000;

/**
 * The devices' HTTPS listener: enrolment, renewal, artifacts. A client certificate is asked for but need not be shown, since who
 * enrols has none yet; one that is shown and not valid authenticates nobody.
 */
@Injectable()
export class DeviceHttpsListener implements OnApplicationBootstrap, BeforeApplicationShutdown {
  #server: Server | undefined;
  #endRenewal: (() => void) | undefined;
  readonly #answered: Counter<'route' | 'status'>;

  constructor(
    private readonly config: Config,
    private readonly identity: DeviceIdentity,
    private readonly authenticator: DeviceAuthenticator,
    private readonly revocation: RevocationService,
    private readonly routes: DeviceRoutes,
    private readonly listeners: Listeners,
    metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.#answered = metrics.counter(
      'device_https_requests_total',
      "Requests to the devices' HTTPS listener by route and status",
      ['route', 'status'],
    );
  }

  async onApplicationBootstrap(): Promise<void> {
    if (this.config.hasRole('gateway')) await this.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.stop();
  }

  /** @throws PortUnavailableError */
  async start(): Promise<void> {
    const { DROVER_DEVICE_HOST: host, DROVER_DEVICE_HTTPS_PORT: port, DROVER_PUBLIC_HOSTS } = this.config.device;
    const server = createServer(
      {
        ...contextOf(this.identity.material),
        ...TIMEOUTS,
        maxHeaderSize: MAX_HEADER_BYTES,
        ALPNProtocols: ['http/1.1'],
        requestCert: true,
        rejectUnauthorized: false,
      },
      (request, response) => void this.#answer(request, response),
    );
    server.maxConnections = MAX_CONNECTIONS;
    server.setTimeout(IDLE_MS);
    server.on('tlsClientError', (error) => this.logger.debug({ err: messageOf(error) }, 'A TLS handshake failed'));
    this.#endRenewal = this.identity.onMaterialChange((material) => server.setSecureContext(contextOf(material)));
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(portProblem(error, 'DROVER_DEVICE_HTTPS_PORT', host, port)));
      server.listen({ host, port, backlog: 1_024 }, resolve);
    });
    server.removeAllListeners('error');
    server.on('error', (error) =>
      this.logger.warn({ err: messageOf(error) }, "The devices' HTTPS listener had a failure"),
    );
    this.#server = server;
    const shown = DROVER_PUBLIC_HOSTS[0]!;
    const bound = (server.address() as AddressInfo).port;
    this.listeners.add(DEVICE_HTTPS, `https://${shown.includes(':') ? `[${shown}]` : shown}:${bound}`);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    this.#endRenewal?.();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const timer = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    await closed;
    clearTimeout(timer);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    let path = 'none';
    try {
      const { route, params } = matchRoute(this.routes.routes, request.method ?? '', request.url ?? '/');
      path = route.path;
      const principal = await this.#principalOf(request);
      if (route.authenticated && !principal)
        throw new UnauthenticatedError('Show a certificate of this server that is valid.');
      const body = await readJson(request, route.maxBodyBytes);
      const answer = await route.handle({ principal, params, body, raw: request }, response);
      if (answer !== undefined) send(response, 200, 'application/json', answer);
    } catch (error) {
      this.#refuse(request, response, error);
    }
    this.#answered.inc({ route: path, status: String(response.statusCode) });
  }

  /** @throws DeviceDecommissionedError with the order to erase, where the certificate is that of a decommissioned device */
  async #principalOf(request: IncomingMessage): Promise<DevicePrincipal | null> {
    const socket = request.socket as TLSSocket;
    const certificate = socket.getPeerX509Certificate();
    if (!certificate || !socket.authorized) return null;
    const { standing, record } = await this.authenticator.judge(certificate.raw);
    if (!record) return null;
    const { fleet, device, serial } = record;
    if (standing === 'decommissioned') {
      const erase = await this.revocation.eraseOrder(fleet, device);
      throw new DeviceDecommissionedError(`Device "${device}" was decommissioned.`, erase);
    }
    return standing === 'valid' ? { fleet, device, certificateSerial: serial } : null;
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (request.destroyed && !request.complete) return void response.destroy();
    const problem = problemOf(error, request.url?.split('?')[0]?.slice(0, 200));
    if (problem.status >= 500) {
      this.logger.error({ err: error, path: problem.instance, code: problem.code }, messageOf(error));
    }
    // An answer that has begun cannot be taken back; ending it in the middle tells the device that it is not whole.
    if (response.headersSent) return void response.destroy();
    if (error instanceof MethodNotAllowedError) response.setHeader('allow', error.allowed.join(', '));
    if (error instanceof TooManyAttemptsError) response.setHeader('retry-after', String(error.retryAfterSeconds));
    // What is left of a body that was refused is not read; without this the connection would wait for it.
    if (!request.complete && hasBody(request)) response.setHeader('connection', 'close');
    const erase = error instanceof DeviceDecommissionedError ? { erase: error.erase } : {};
    send(response, problem.status, 'application/problem+json', { ...problem, ...erase });
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function send(response: ServerResponse, status: number, type: string, value: object): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'content-type': type, 'content-length': body.length, 'cache-control': 'no-store' });
  response.end(body);
}

function contextOf(material: TlsMaterial) {
  return { key: material.key, cert: material.cert, ca: [...material.ca], minVersion: 'TLSv1.2' as const };
}
