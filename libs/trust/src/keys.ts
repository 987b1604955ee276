import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { InvalidKeyError } from './errors.ts';

/** What signs. `keyId` is always `keyIdOf` its public key, so the same key has the same name everywhere. */
export interface SigningKey {
  readonly keyId: string;
  readonly privateKey: KeyObject;
}

export interface KeyPair extends SigningKey {
  /** Ed25519, the 32 raw bytes in base64url. */
  readonly publicKey: string;
}

const RAW_KEY = /^[A-Za-z0-9_-]{43}$/;

export function generateKeyPair(): KeyPair {
  return pairOf(generateKeyPairSync('ed25519').privateKey);
}

/** The private key as PKCS#8 in PEM. Whoever has it can sign: for a key store only. */
export function exportPrivateKey(key: SigningKey): string {
  return key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** @throws InvalidKeyError where the text is no Ed25519 private key */
export function importPrivateKey(pem: string): KeyPair {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    throw new InvalidKeyError('The private key is not readable as PEM', { cause: error });
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new InvalidKeyError(`The private key is ${key.asymmetricKeyType ?? 'symmetric'}, expected ed25519`);
  }
  return pairOf(key);
}

/**
 * @param raw the 32 bytes of an Ed25519 public key in base64url
 * @throws InvalidKeyError
 */
export function importPublicKey(raw: string): KeyObject {
  if (!RAW_KEY.test(raw)) throw new InvalidKeyError('A public key is 32 bytes in base64url (43 characters)');
  try {
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw }, format: 'jwk' });
  } catch (error) {
    throw new InvalidKeyError('The bytes are no Ed25519 public key', { cause: error });
  }
}

/** A public key's name: the first 128 bits of its SHA-256, base64url (22 characters, fit for an id). */
export function keyIdOf(publicKey: string): string {
  return createHash('sha256')
    .update(Buffer.from(publicKey, 'base64url'))
    .digest()
    .subarray(0, 16)
    .toString('base64url');
}

function pairOf(privateKey: KeyObject): KeyPair {
  const publicKey = createPublicKey(privateKey).export({ format: 'jwk' }).x!;
  return { keyId: keyIdOf(publicKey), privateKey, publicKey };
}
