import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { bitString, objectIdentifier, sequence, set, smallInteger, tagged, utf8String } from './der.ts';

/** `ub-common-name` of RFC 5280: stricter readers refuse longer ones. */
const MAX_COMMON_NAME = 64;
const COMMON_NAME = '2.5.4.3';
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';

export interface DeviceKey {
  readonly privateKeyPem: string;
  /** PKCS#10 in PEM. */
  readonly csr: string;
}

/** A new P-256 key and the request for its certificate. */
export function createDeviceKey(commonName: string): DeviceKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    csr: certificateRequest(privateKey, commonName),
  };
}

/**
 * A certification request (PKCS#10, RFC 2986) in PEM: the subject's common name, no attributes, signed with ECDSA and
 * SHA-256. The server takes only the key and the proof that we hold it; the name is for people reading the request.
 *
 * @param privateKey P-256
 */
export function certificateRequest(privateKey: KeyObject, commonName: string): string {
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const name = Array.from(commonName).slice(0, MAX_COMMON_NAME).join('');
  const subject = sequence(set(sequence(objectIdentifier(COMMON_NAME), utf8String(name))));
  const info = sequence(smallInteger(0), subject, publicKey, tagged(0xa0));
  const signature = sign('sha256', info, privateKey);
  const request = sequence(info, sequence(objectIdentifier(ECDSA_WITH_SHA256)), bitString(signature));
  const lines = request.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}
