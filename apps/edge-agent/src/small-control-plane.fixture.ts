import { once } from 'node:events';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import { devicePrefix, enrolRequestSchema } from '@drover/contracts';
import type { DesiredPipeline, EnrolRequest, EnrolResponse, Envelope, RenewResponse } from '@drover/contracts';
import { generateKeyPair, signEnvelope, signKeySet } from '@drover/trust';
import type { TestAuthority } from '../../../libs/device-protocol/src/fixtures/test-authority.ts';
import { TestBroker } from '../../../libs/device-protocol/src/fixtures/test-broker.ts';
import { FLEET, ReleaseSource } from './updates/release.fixture.ts';

export const DEVICE = 'device-1';
export const PREFIX = devicePrefix(FLEET, DEVICE);

/** A control plane as one device sees it: enrolment over HTTPS, a broker behind mutual TLS, signed documents. */
export class SmallControlPlane {
  readonly authority: TestAuthority;
  readonly broker: TestBroker;
  readonly source = new ReleaseSource();
  readonly root = generateKeyPair();
  readonly enrolments: EnrolRequest[] = [];
  refusal: { status: number; detail: string } | null = null;
  #server!: Server;
  #version = 0;

  constructor(authority: TestAuthority) {
    this.authority = authority;
    this.broker = new TestBroker(authority);
  }

  get url(): string {
    return `https://localhost:${(this.#server.address() as { port: number }).port}`;
  }
  get token(): string {
    return `drover1.${this.authority.pin}.${'s'.repeat(43)}`;
  }

  async start(): Promise<void> {
    await this.broker.start();
    for (const [digest, bytes] of this.source.artifacts) this.broker.artifacts.set(digest, bytes);
    const { certificate, privateKeyPem } = await this.authority.issue('server', { hosts: ['localhost'] });
    // The chain with the authority: a device that knows only its pin has to find it there.
    const cert = `${certificate}\n${this.authority.pem}`;
    this.#server = createServer({ cert, key: privateKeyPem }, (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const body: unknown = JSON.parse(Buffer.concat(parts).toString());
        void this.#answer(request.url!, body).then(({ status, body: answer }) =>
          response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer)),
        );
      });
    });
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await this.broker.kill();
  }

  publish(sample: Parameters<ReleaseSource['publish']>[0]): DesiredPipeline {
    const target = this.source.publish(sample);
    for (const [digest, bytes] of this.source.artifacts) this.broker.artifacts.set(digest, bytes);
    return target;
  }

  async want(pipelines: Record<string, DesiredPipeline>, changes: Partial<Envelope> = {}): Promise<void> {
    this.#version += 1;
    const payload = {
      format: 'drover.desired/1',
      keys: signKeySet(this.source.keySet, this.root),
      pipelines,
      config: { measurementIntervalMs: 0, probationMs: 100 },
    };
    await this.#send(`${PREFIX}/twin/desired`, { kind: 'twin', version: this.#version, payload, ...changes }, true);
  }

  async command(type: string, id: string, more: object = {}): Promise<void> {
    const payload = { type, id, ...more };
    await this.#send(`${PREFIX}/cmd/${type}/${id}`, { kind: 'command', version: 1, payload }, false);
  }

  events(type: string): Record<string, any>[] {
    return this.broker.committed.filter(({ topic }) => topic === `${PREFIX}/e/${type}`).map(({ value }) => value);
  }

  get story(): string[] {
    return this.events('execution').map(({ execution }) =>
      [execution.status, execution.step, execution.reason].filter((part) => part !== null).join(' '),
    );
  }

  async #send(topic: string, envelope: Partial<Envelope>, retain: boolean): Promise<void> {
    const signed = signEnvelope(
      {
        kind: 'twin',
        fleet: FLEET,
        device: DEVICE,
        epoch: 1,
        version: 1,
        issuedAt: new Date().toISOString(),
        expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
        payload: {},
        ...envelope,
      },
      [this.source.key],
    );
    await this.broker.send(topic, Buffer.from(JSON.stringify(signed)), retain);
  }

  async #answer(path: string, body: unknown): Promise<{ status: number; body: object }> {
    if (this.refusal !== null) {
      const { status, detail } = this.refusal;
      return { status, body: { type: 'about:blank', title: 'no', status, detail, code: 'token-expired' } };
    }
    const csr = (body as { csr: string }).csr;
    const answer: RenewResponse = {
      certificate: await this.authority.issueFor(csr, DEVICE),
      authorities: [this.authority.pem],
      mqtt: { urls: [this.broker.url] },
      https: { urls: [this.url] },
    };
    if (path === '/renew') return { status: 200, body: answer };
    this.enrolments.push(enrolRequestSchema.parse(body));
    const response: EnrolResponse = {
      ...answer,
      fleet: FLEET,
      device: DEVICE,
      epoch: 1,
      rootKey: this.root.publicKey,
      keys: signKeySet(this.source.keySet, this.root),
    };
    return { status: 201, body: response };
  }
}
