import type { KeyPurpose, KeySet } from '@drover/contracts';
import type { UnsignedEnvelope } from './envelopes.ts';
import { generateKeyPair } from './keys.ts';
import type { KeyPair } from './keys.ts';

export const NOW = Date.parse('2026-11-20T12:00:00Z');

export function keySetOf(version: number, keys: readonly KeyPair[], purposes: KeyPurpose[], notAfter?: string): KeySet {
  return {
    format: 'drover.keys/1',
    version,
    issuedAt: '2026-11-01T00:00:00Z',
    keys: keys.map(({ keyId, publicKey }) => ({ keyId, publicKey, purposes, ...(notAfter && { notAfter }) })),
  };
}

export const root = generateKeyPair();
export const key = generateKeyPair();
export const keySet = keySetOf(3, [key], ['twin', 'manifest']);

export const unsigned: UnsignedEnvelope = {
  kind: 'twin',
  fleet: 'main',
  device: 'd-1',
  epoch: 1,
  version: 7,
  issuedAt: '2026-11-20T11:59:00Z',
  expiresAt: '2026-11-20T13:00:00Z',
  payload: { text: 'Größe\u2028', nested: [1, 2.5e-9, null, { b: true, a: '"' }] },
};

export const forDevice = { fleet: 'main', device: 'd-1', keySet, now: NOW, skewMs: 60_000 };
