import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidKeyError } from './errors.ts';
import { exportPrivateKey, generateKeyPair, importPrivateKey, importPublicKey, keyIdOf } from './keys.ts';
import { spkiPin } from './spki-pin.ts';
import { compareTwinOrder, isNewer } from './twin-order.ts';

describe('keys', () => {
  it('come back from PEM with the same public key and name', () => {
    const pair = generateKeyPair();
    const again = importPrivateKey(exportPrivateKey(pair));
    expect(again.publicKey).toBe(pair.publicKey);
    expect(again.keyId).toBe(pair.keyId);
    expect(keyIdOf(pair.publicKey)).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(importPublicKey(pair.publicKey).export({ format: 'jwk' }).x).toBe(pair.publicKey);
  });

  it('of another kind, or no keys at all, are refused', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(() => importPrivateKey(pem)).toThrow(InvalidKeyError);
    expect(() => importPrivateKey('-----BEGIN')).toThrow(InvalidKeyError);
    expect(() => importPublicKey('short')).toThrow(InvalidKeyError);
  });
});

describe('the pin of an authority', () => {
  it('is the SHA-256 of its public key, as other tools compute it', () => {
    // Made with: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=pin -days 36500; the pin with
    // openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | basenc --base64url
    const certificate = new X509Certificate(CERTIFICATE);
    expect(spkiPin(certificate.publicKey.export({ type: 'spki', format: 'der' }))).toBe(PIN);
  });
});

describe('the order of twins', () => {
  const order = fc.record({ epoch: fc.nat(5), version: fc.nat(5) });

  it('counts the epoch first: a lower version of a higher epoch is newer', () => {
    expect(isNewer({ epoch: 2, version: 1 }, { epoch: 1, version: 900 })).toBe(true);
    expect(isNewer({ epoch: 1, version: 901 }, { epoch: 2, version: 1 })).toBe(false);
    expect(isNewer({ epoch: 0, version: 0 }, null)).toBe(true);
  });

  it('goes back only by a rollback, and never to an earlier epoch', () => {
    expect(isNewer({ epoch: 1, version: 4 }, { epoch: 1, version: 5 })).toBe(false);
    expect(isNewer({ epoch: 1, version: 4 }, { epoch: 1, version: 5 }, true)).toBe(true);
    expect(isNewer({ epoch: 0, version: 9 }, { epoch: 1, version: 5 }, true)).toBe(false);
  });

  it('never takes the same twice, and of two different ones exactly one is newer', () => {
    fc.assert(
      fc.property(order, order, (a, b) => {
        const same = compareTwinOrder(a, b) === 0;
        expect(isNewer(a, b) !== isNewer(b, a)).toBe(!same);
        if (same) expect(isNewer(a, b, true)).toBe(false);
      }),
    );
  });
});

const PIN = 'n3iY1xvBJxpNWc4i5XpY0L2OpJ_IbKGPd-blxs1qeJE';
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBdDCCARmgAwIBAgIUAqZ/cxs5Va4fF8mGUJ5g0Wy+QA0wCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDcGluMCAXDTI2MTEyMzE5MDMwN1oYDzIxMjYxMDMwMTkwMzA3
WjAOMQwwCgYDVQQDDANwaW4wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQJ+R5L
vMoO5BVCGCbisGKeTcbt2GFbA23nrnRMTvVxJqeHnLkAoEMWiKR7DrZG3sOf7bZm
/rdi7C1RwAHDLyMso1MwUTAdBgNVHQ4EFgQUIBUc13QjtNA7Zd6AgyCumEiFjjkw
HwYDVR0jBBgwFoAUIBUc13QjtNA7Zd6AgyCumEiFjjkwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNJADBGAiEA7IuCs/fb2us9NHlpP3mlwSZXqYk2dRt41z17
zdMh3QACIQDb44mqbfyqLFE5D9TI5/mLvV0qK+8Z6erB05M9WbouSA==
-----END CERTIFICATE-----`;
