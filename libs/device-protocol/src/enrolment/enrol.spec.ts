import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Server, ServerOptions } from 'node:https';
import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { enrolRequestSchema } from '@drover/contracts';
import type { EnrolResponse, HardwareProfile } from '@drover/contracts';
import { generateKeyPair, signKeySet } from '@drover/trust';
import {
  InsecureUrlError,
  InvalidTokenError,
  RequestRefusedError,
  ServerAnswerInvalidError,
  ServerFailedError,
  ServerUnreachableError,
  ServerUntrustedError,
} from '../errors.ts';
import { subjectOf, TestAuthority } from '../fixtures/test-authority.ts';
import { enrol, renew, renewalDueAt } from './enrol.ts';

const profile: HardwareProfile = {
  board: 'Raspberry Pi 4 Model B Rev 1.4',
  arch: 'arm64',
  cpuModel: 'Cortex-A72',
  cpuCores: 4,
  memoryBytes: 4 * 2 ** 30,
  providers: ['cpu'],
  os: 'Linux 6.6',
  agentVersion: '0.1.0',
  runtimeVersion: '1.30.0',
  simulated: false,
};
const SECRET = 's'.repeat(40);
const root = generateKeyPair();
const signer = generateKeyPair();
const keys = signKeySet(
  {
    format: 'drover.keys/1',
    version: 1,
    issuedAt: '2026-11-01T00:00:00Z',
    keys: [{ keyId: signer.keyId, publicKey: signer.publicKey, purposes: ['twin', 'manifest'] }],
  },
  root,
);

let authority: TestAuthority;
let server: Server;
/** Every body that any server of a test was sent. */
let bodies: unknown[];
let answer: (body: never, request: IncomingMessage) => Promise<{ status: number; json: unknown }>;

beforeEach(async () => {
  authority = await TestAuthority.create();
  bodies = [];
  const { certificate, privateKeyPem } = await authority.issue('server', { hosts: ['localhost', '127.0.0.1'] });
  await listen({ cert: `${certificate}\n${authority.pem}`, key: privateKeyPem });
  answer = async (body: { csr: string }) => ({ status: 200, json: await identityFor(body.csr) });
});
afterEach(() => void server.close());

async function listen(tls: ServerOptions): Promise<void> {
  server?.close();
  server = createServer({ ...tls, ca: authority.pem, requestCert: true, rejectUnauthorized: false }, onRequest);
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}

async function onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const body: unknown = JSON.parse(Buffer.concat(parts).toString());
  bodies.push(body);
  const { status, json } = await answer(body as never, request);
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json));
}

async function identityFor(csr: string, device = 'd-1'): Promise<EnrolResponse> {
  return {
    fleet: 'main',
    device,
    epoch: 0,
    certificate: await authority.issueFor(csr, device),
    authorities: [authority.pem],
    rootKey: root.publicKey,
    keys,
    mqtt: { urls: ['mqtts://localhost:8883'] },
    https: { urls: [url()] },
  };
}

const url = (host = 'localhost'): string => `https://${host}:${(server.address() as { port: number }).port}`;
const token = (pin = authority.pin): string => `drover1.${pin}.${SECRET}`;
const failure = (attempt: Promise<unknown>): Promise<unknown> => attempt.then(() => null).catch((error) => error);

describe('enrolling', () => {
  it('brings an identity for a key that never left the device', async () => {
    const identity = await enrol({ url: url(), token: token(), profile, name: 'pump-7', pipelines: ['vibration'] });
    expect(identity).toMatchObject({ fleet: 'main', device: 'd-1', rootKey: root.publicKey });
    const sent = enrolRequestSchema.parse(bodies[0]);
    expect(sent).toMatchObject({ token: token(), profile, name: 'pump-7', pipelines: ['vibration'] });
    expect(subjectOf(sent.csr)).toBe('CN=pump-7');
    expect(JSON.stringify(bodies)).not.toContain('PRIVATE KEY');
  });

  it('works by address as well as by name, with a path, and with a token that was copied with blanks', async () => {
    await enrol({ url: `${url('127.0.0.1')}/`, token: ` ${token()}\n`, profile });
    let path = '';
    const before = answer;
    answer = (body, request) => {
      path = request.url!;
      return before(body, request);
    };
    await enrol({ url: `${url()}/drover/`, token: token(), profile });
    expect(path).toBe('/drover/enrol');
  });

  it('sends nothing to a server that has not the pinned authority', async () => {
    const other = await TestAuthority.create('Other');
    expect(await failure(enrol({ url: url(), token: token(other.pin), profile }))).toBeInstanceOf(ServerUntrustedError);
    expect(bodies).toEqual([]);
  });

  it('sends nothing to a server that shows the pinned authority but has no certificate of it', async () => {
    const other = await TestAuthority.create('Test authority');
    const { certificate, privateKeyPem } = await other.issue('server', { hosts: ['localhost'] });
    await listen({ cert: `${certificate}\n${authority.pem}`, key: privateKeyPem });
    expect(await failure(enrol({ url: url(), token: token(), profile }))).toBeInstanceOf(ServerUntrustedError);
    expect(bodies).toEqual([]);
  });

  it('sends nothing under another host name, nor to an expired certificate', async () => {
    for (const options of [{ hosts: ['elsewhere.example'] }, { hosts: ['localhost'], validForMs: 60_000 }]) {
      const { certificate, privateKeyPem } = await authority.issue('server', options);
      await listen({ cert: `${certificate}\n${authority.pem}`, key: privateKeyPem });
      expect(await failure(enrol({ url: url(), token: token(), profile }))).toBeInstanceOf(ServerUntrustedError);
    }
    expect(bodies).toEqual([]);
  });

  it('sends nothing to a server that uses a certificate of a device', async () => {
    const { certificate, privateKeyPem } = await authority.issue('d-9');
    await listen({ cert: `${certificate}\n${authority.pem}`, key: privateKeyPem });
    expect(await failure(enrol({ url: url(), token: token(), profile }))).toBeInstanceOf(ServerUntrustedError);
    expect(bodies).toEqual([]);
  });

  it("hands on the server's own words where it refuses", async () => {
    const problem = {
      type: 'about:blank',
      title: 'Forbidden',
      status: 403,
      code: 'token-expired',
      detail: 'The token expired yesterday',
    };
    answer = async () => ({ status: 403, json: problem });
    const refused = await failure(enrol({ url: url(), token: token(), profile }));
    expect(refused).toBeInstanceOf(RequestRefusedError);
    expect(refused).toMatchObject({ status: 403, problem, message: 'The token expired yesterday (token-expired)' });
    answer = async () => ({ status: 503, json: null });
    expect(await failure(enrol({ url: url(), token: token(), profile }))).toBeInstanceOf(ServerFailedError);
  });

  it('refuses an answer that is no identity, for another key, or without the pinned authority', async () => {
    const other = await TestAuthority.create();
    const { certificate } = await authority.issue('d-1');
    const cases: [(good: EnrolResponse) => unknown, new (...args: never[]) => Error][] = [
      [() => ({ hello: 'world' }), ServerAnswerInvalidError],
      [(good) => ({ ...good, certificate }), ServerAnswerInvalidError],
      [(good) => ({ ...good, certificate: 'none' }), ServerAnswerInvalidError],
      [(good) => ({ ...good, authorities: [other.pem] }), ServerUntrustedError],
    ];
    for (const [change, expected] of cases) {
      answer = async (body: { csr: string }) => ({ status: 200, json: change(await identityFor(body.csr)) });
      expect(await failure(enrol({ url: url(), token: token(), profile }))).toBeInstanceOf(expected);
    }
    const forged = generateKeyPair().publicKey;
    answer = async (body: { csr: string }) => ({
      status: 200,
      json: { ...(await identityFor(body.csr)), rootKey: forged },
    });
    expect(await failure(enrol({ url: url(), token: token(), profile }))).toMatchObject({ code: 'key-unknown' });
  });

  it('says what is wrong with a token or URL before it connects', async () => {
    expect(await failure(enrol({ url: url(), token: 'drover1.abc', profile }))).toBeInstanceOf(InvalidTokenError);
    const plain = url().replace('https', 'http');
    expect(await failure(enrol({ url: plain, token: token(), profile }))).toBeInstanceOf(InsecureUrlError);
    expect(await failure(enrol({ url: 'drover', token: token(), profile }))).toBeInstanceOf(InsecureUrlError);
    expect(bodies).toEqual([]);
  });

  it('gives up when nobody listens, when no answer comes in time, and when told to', async () => {
    const nobody = 'https://localhost:1';
    expect(await failure(enrol({ url: nobody, token: token(), profile }))).toBeInstanceOf(ServerUnreachableError);
    answer = () => new Promise(() => undefined);
    const late = enrol({ url: url(), token: token(), profile, timeoutMs: 300 });
    expect(await failure(late)).toBeInstanceOf(ServerUnreachableError);
    const told = new AbortController();
    const stopped = failure(enrol({ url: url(), token: token(), profile, signal: told.signal }));
    setTimeout(() => told.abort(new InvalidTokenError('enough')), 100);
    expect(await stopped).toMatchObject({ message: 'enough' });
    server.closeAllConnections();
  });
});

describe('renewing', () => {
  it('brings a new certificate and key, asked for with the present one', async () => {
    const identity = await enrol({ url: url(), token: token(), profile });
    let asked = '';
    answer = async (body: { csr: string }, request) => {
      const socket = request.socket as TLSSocket;
      asked = socket.authorized ? String(socket.getPeerCertificate().subject.CN) : 'unauthorised';
      const { certificate, authorities, mqtt, https } = await identityFor(body.csr);
      return { status: 200, json: { certificate, authorities, mqtt, https } };
    };
    const dead = 'https://localhost:1';
    const renewed = await renew({ ...identity, https: { urls: [dead, url()] } });
    expect(asked).toBe('d-1');
    expect(renewed.privateKeyPem).not.toBe(identity.privateKeyPem);
    expect(renewed.certificate).not.toBe(identity.certificate);
    expect(renewed).toMatchObject({ device: 'd-1', keys: identity.keys, rootKey: root.publicKey });
  });

  it('is refused like anything else', async () => {
    const identity = await enrol({ url: url(), token: token(), profile });
    answer = async () => ({ status: 401, json: {} });
    expect(await failure(renew(identity))).toMatchObject({ code: 'request-refused', status: 401, problem: null });
  });

  it('is due after two thirds of the life of a certificate', async () => {
    const { certificate } = await authority.issue('d-1', { validFromMs: 0, validForMs: 3 * 3_600_000 });
    const { validFromDate } = new X509Certificate(certificate);
    expect(renewalDueAt(certificate)).toBe(validFromDate.getTime() + 2 * 3_600_000);
  });
});
