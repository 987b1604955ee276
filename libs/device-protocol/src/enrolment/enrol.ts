import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { enrolResponseSchema, parseEnrolmentToken, renewResponseSchema } from '@drover/contracts';
import type { EnrolRequest, EnrolResponse, HardwareProfile } from '@drover/contracts';
import { problemsOf } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import { spkiPin, verifyKeySet } from '@drover/trust';

import { InvalidTokenError, ServerAnswerInvalidError, ServerUntrustedError } from '../errors.ts';
import type { DeviceIdentity } from '../identity.ts';
import { createDeviceKey } from './certificate-request.ts';
import { listenerUrl, postJson } from './device-listener.ts';
import { pinnedAuthority } from './pinned-authority.ts';

const DEFAULT_TIMEOUT_MS = 30_000;

export interface EnrolOptions {
  /** Of the device listener, e.g. `https://drover.example:8443`. */
  readonly url: string;
  /** `drover1.<pin>.<secret>` */
  readonly token: string;
  readonly profile: HardwareProfile;
  readonly name?: string | undefined;
  readonly tags?: Record<string, string> | undefined;
  /** Pipelines configured on the device. */
  readonly pipelines?: readonly string[] | undefined;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a key and has the server issue an identity for it. The token's secret is sent only to a server whose chain ends in
 * the authority that the token pins.
 *
 * @throws InvalidTokenError, InsecureUrlError, ServerUntrustedError, ServerUnreachableError, RequestRefusedError,
 *   ServerFailedError, ServerAnswerInvalidError
 */
export async function enrol(options: EnrolOptions): Promise<DeviceIdentity> {
  const { profile, name, tags, pipelines, signal } = options;
  const token = parseEnrolmentToken(options.token);
  if (token === null) {
    throw new InvalidTokenError('An enrolment token looks like drover1.<43 characters>.<secret>; was it cut off?');
  }
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const url = listenerUrl(options.url, 'enrol');
  const authority = await pinnedAuthority({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || 443),
    pin: token.pin,
    timeoutMs,
    signal,
  });
  const key = createDeviceKey(name ?? 'drover-device');
  const body: EnrolRequest = {
    token: options.token.trim(),
    csr: key.csr,
    profile,
    ...(name !== undefined && { name }),
    ...(tags !== undefined && { tags }),
    pipelines: [...(pipelines ?? [])],
  };
  const answer = await postJson({ url, body, tls: { ca: [authority] }, timeoutMs, signal });
  const parsed = enrolResponseSchema.safeParse(answer);
  if (!parsed.success) throw malformed(problemsOf(parsed.error));
  const response = parsed.data;
  requirePinned(response, token.pin);
  requireIssued(key.privateKeyPem, response.certificate, response.authorities);
  verifyKeySet(response.keys, response.rootKey, 0);
  return { privateKeyPem: key.privateKeyPem, ...response };
}

export interface RenewOptions {
  readonly profile?: HardwareProfile | undefined;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A new key and certificate for an identity, asked for with the present one. The server's addresses are tried in turn.
 *
 * @returns the identity to keep from now on; the old one works until its certificate expires
 * @throws as `enrol`
 */
export async function renew(identity: DeviceIdentity, options: RenewOptions = {}): Promise<DeviceIdentity> {
  const key = createDeviceKey(identity.device);
  const body = { csr: key.csr, ...(options.profile !== undefined && { profile: options.profile }) };
  const tls = { ca: identity.authorities, cert: identity.certificate, key: identity.privateKeyPem };
  let failure: unknown = new ServerAnswerInvalidError('The identity names no https URL to renew at');
  for (const base of identity.https.urls) {
    try {
      const answer = await postJson({
        url: listenerUrl(base, 'renew'),
        body,
        tls,
        timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        signal: options.signal,
      });
      const parsed = renewResponseSchema.safeParse(answer);
      if (!parsed.success) throw malformed(problemsOf(parsed.error));
      const response = parsed.data;
      requireIssued(key.privateKeyPem, response.certificate, response.authorities);
      return { ...identity, ...response, privateKeyPem: key.privateKeyPem };
    } catch (error) {
      options.signal?.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}

/** When a certificate should be renewed: after two thirds of its life, milliseconds since the epoch. */
export function renewalDueAt(certificatePem: string): number {
  const { validFromDate, validToDate } = new X509Certificate(certificatePem);
  const from = validFromDate.getTime();
  return from + ((validToDate.getTime() - from) * 2) / 3;
}

function malformed(problems: FieldProblem[]): ServerAnswerInvalidError {
  return new ServerAnswerInvalidError('The server answered with something else than an identity', { problems });
}

function requirePinned(response: EnrolResponse, pin: string): void {
  const pinned = response.authorities.some(
    (pem) => spkiPin(certificateOf(pem).publicKey.export({ type: 'spki', format: 'der' })) === pin,
  );
  if (!pinned) throw new ServerUntrustedError('The authority that the token pins is not among those the server names');
}

/** The certificate is for the key that we made, and by an authority that we shall trust: anything else would not connect later. */
function requireIssued(privateKeyPem: string, certificatePem: string, authorities: readonly string[]): void {
  const certificate = certificateOf(certificatePem);
  const ours = createPublicKey(createPrivateKey(privateKeyPem));
  if (!certificate.publicKey.equals(ours)) {
    throw new ServerAnswerInvalidError('The server issued a certificate for another key');
  }
  const issued = authorities.map(certificateOf).some((authority) => certificate.checkIssued(authority));
  if (!issued)
    throw new ServerAnswerInvalidError('The certificate is by none of the authorities that the server names');
}

function certificateOf(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new ServerAnswerInvalidError('The server sent a certificate that cannot be read', { cause: error });
  }
}
