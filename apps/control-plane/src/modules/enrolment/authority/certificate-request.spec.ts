import { webcrypto } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newRequest } from '../enrolment.fixture.ts';
import { CertificateRequestInvalidError } from '../errors.ts';
import { readCertificateRequest } from './certificate-request.ts';
import { x509 } from './x509.ts';

const pem = (der: Uint8Array<ArrayBuffer>) => x509.PemConverter.encode(der, 'CERTIFICATE REQUEST');

describe('a certification request', () => {
  it('gives the key that it was made with', async () => {
    const { csr } = await newRequest();
    const key = await readCertificateRequest(csr);
    expect(key.algorithm).toMatchObject({ name: 'ECDSA', namedCurve: 'P-256' });
  });

  it('is refused for a key of another kind', async () => {
    const rsa = {
      name: 'RSASSA-PKCS1-v1_5',
      hash: 'SHA-256',
      modulusLength: 2_048,
      publicExponent: new Uint8Array([1, 0, 1]),
    };
    const keys = (await webcrypto.subtle.generateKey(rsa, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
    const request = await x509.Pkcs10CertificateRequestGenerator.create({ name: 'CN=x', keys, signingAlgorithm: rsa });
    for (const csr of [request.toString('pem'), (await newRequest('P-384')).csr])
      await expect(readCertificateRequest(csr)).rejects.toThrow(/P-256/);
  });

  it('is refused where whoever sends it does not hold the key: with the key of one and the signature of another', async () => {
    const [mine, theirs] = await Promise.all([newRequest(), newRequest()]);
    const [a, b] = [mine, theirs].map(({ csr }) => new x509.Pkcs10CertificateRequest(csr));
    const bytes = new Uint8Array(a!.rawData);
    const spki = Buffer.from(a!.publicKey.rawData);
    bytes.set(new Uint8Array(b!.publicKey.rawData), Buffer.from(bytes).indexOf(spki));
    await expect(readCertificateRequest(pem(bytes))).rejects.toThrow(/not signed with the key/);
  });

  it('is refused, or gives the very key that signed it, and nothing worse, whatever is done to it', async () => {
    const { csr } = await newRequest();
    const original = new x509.Pkcs10CertificateRequest(csr);
    const good = new Uint8Array(original.rawData);
    const key = Buffer.from(original.publicKey.rawData);
    const broken = fc
      .tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(good.length))
      .map(([at, flip, cut]) => {
        const bytes = new Uint8Array(good);
        bytes[at] = bytes[at]! ^ flip;
        return pem(cut < good.length / 4 ? bytes.subarray(0, bytes.length - cut) : bytes);
      });
    const noise = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => pem(new Uint8Array(bytes)));
    await fc.assert(
      fc.asyncProperty(fc.oneof(broken, noise, fc.string()), async (text) => {
        // The frame around what is signed may be read leniently; the signed part, the key in it, may not.
        const outcome = await readCertificateRequest(text).catch((error: unknown) => error);
        if (outcome instanceof x509.PublicKey) expect(Buffer.from(outcome.rawData)).toEqual(key);
        else expect(outcome).toBeInstanceOf(CertificateRequestInvalidError);
      }),
      { numRuns: 400 },
    );
  });
});
