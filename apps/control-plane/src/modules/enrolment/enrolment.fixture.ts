import { webcrypto } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import type { RequestOptions } from 'node:https';
import { connect } from 'node:tls';
import { api } from '@drover/contracts';
import type { EnrolResponse, HardwareProfile } from '@drover/contracts';
import { spkiPin } from '@drover/trust';
import type { TestApp } from '../../test-app.fixture.ts';
import { PI_4 } from '../devices/devices.fixture.ts';
import { KEY_ALGORITHM } from './authority/issue-certificate.ts';
import { x509 } from './authority/x509.ts';

export interface Credentials {
  readonly key: string;
  readonly cert: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
  readonly body: any;
}

export interface CallOptions extends Pick<RequestOptions, 'localAddress' | 'agent' | 'headers'> {
  readonly credentials?: Credentials | undefined;
  /** Sent as it is. */
  readonly raw?: string | Buffer | undefined;
  readonly ca?: string | readonly string[] | undefined;
}

/** A request to the devices' HTTPS listener. Without `ca` the server is not verified. */
export function call(
  url: string,
  method: string,
  path: string,
  body?: unknown,
  options: CallOptions = {},
): Promise<Answer> {
  const { credentials, raw, ca, ...rest } = options;
  const bytes = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const sent = request(
      new URL(path, url),
      {
        agent: false,
        method,
        rejectUnauthorized: ca !== undefined,
        ...(ca !== undefined && { ca: typeof ca === 'string' ? ca : [...ca] }),
        ...credentials,
        ...rest,
        headers: {
          ...(bytes !== undefined && {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(bytes),
          }),
          ...(rest.headers as object),
        },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => (text += part));
        answer.on('end', () =>
          resolve({
            status: answer.statusCode!,
            headers: answer.headers,
            text,
            body: /json/.test(answer.headers['content-type'] ?? '') && text !== '' ? JSON.parse(text) : undefined,
          }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(bytes);
  });
}

/** A key and the request for its certificate; another curve or another key's signature where a test wants it wrong. */
export async function newRequest(curve: 'P-256' | 'P-384' = 'P-256'): Promise<{ key: string; csr: string }> {
  const algorithm = { ...KEY_ALGORITHM, namedCurve: curve };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=whoever I like, O=other',
    keys,
    signingAlgorithm: algorithm,
  });
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'), csr: csr.toString('pem') };
}

/** The certificates that a server shows, its own first, as an agent sees them that trusts nobody yet. */
export function chainOf(url: string): Promise<X509Certificate[]> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false, servername: 'localhost' });
    socket.on('error', reject);
    socket.on('secureConnect', () => {
      const chain: X509Certificate[] = [];
      for (let one = socket.getPeerX509Certificate(); one && chain.length < 9; one = one.issuerCertificate) {
        if (chain.some((other) => other.fingerprint256 === one!.fingerprint256)) break;
        chain.push(one);
      }
      socket.destroy();
      resolve(chain);
    });
  });
}

export function pinOfCertificate(certificate: X509Certificate): string {
  return spkiPin(certificate.publicKey.export({ type: 'spki', format: 'der' }));
}

export interface Enrolled extends EnrolResponse {
  readonly credentials: Credentials;
}

export interface EnrolOptions extends CallOptions {
  readonly profile?: HardwareProfile;
  readonly name?: string;
  readonly tags?: Record<string, string>;
  readonly pipelines?: string[];
  readonly csr?: string;
}

/** What the tests of enrolment need of a running control plane. */
export function enrolmentOf(app: TestApp) {
  const url = app.controlPlane.listeners['device-https']!;
  const token = async (input: Record<string, unknown> = {}, fleet = 'default') => {
    const { status, body } = await app.request('POST', '/enrolment-tokens', input, { fleet });
    if (status !== 201) throw new RangeError(`no token: ${JSON.stringify(body)}`);
    return api.enrolmentTokens.create.response.parse(body);
  };
  /** The answer to an attempt, whatever it is, and the key that was made for it. */
  const attempt = async (text: string, options: EnrolOptions = {}) => {
    const { profile = PI_4, name, tags, pipelines = ['main'], csr, ...rest } = options;
    const made = await newRequest();
    const body = {
      token: text,
      csr: csr ?? made.csr,
      profile,
      pipelines,
      ...(name && { name }),
      ...(tags && { tags }),
    };
    return { key: made.key, answer: await call(url, 'POST', '/enrol', body, rest) };
  };
  const enrol = async (text: string, options: EnrolOptions = {}): Promise<Enrolled> => {
    const { key, answer } = await attempt(text, options);
    if (answer.status !== 200) throw new RangeError(`not enrolled: ${answer.text}`);
    return { ...answer.body, credentials: { key, cert: answer.body.certificate } };
  };
  return {
    url,
    token,
    attempt,
    enrol,
    /** Enrols with a token of its own. */
    newDevice: async (fleet = 'default', options: EnrolOptions = {}) => enrol((await token({}, fleet)).token, options),
    renew: async (credentials: Credentials, body: object = {}, options: CallOptions = {}) => {
      const made = await newRequest();
      const answer = await call(url, 'POST', '/renew', { csr: made.csr, ...body }, { credentials, ...options });
      return { key: made.key, answer };
    },
  };
}
