import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { subjectOf, TestAuthority } from '../fixtures/test-authority.ts';
import { createDeviceKey } from './certificate-request.ts';
import { objectIdentifier, tagged } from './der.ts';

describe('a certificate request', () => {
  it('is read and verified by another implementation, whatever the name', async () => {
    const authority = await TestAuthority.create();
    for (const name of ['pump-7', 'Größe ✓ 1', 'x'.repeat(120), 'ü'.repeat(100)]) {
      const { csr, privateKeyPem } = createDeviceKey(name);
      expect(subjectOf(csr)).toBe(`CN=${name.slice(0, 64)}`);
      // Throws where the signature does not prove possession of the key.
      const certificate = new X509Certificate(await authority.issueFor(csr, 'd-1'));
      expect(certificate.checkPrivateKey(createPrivateKey(privateKeyPem))).toBe(true);
      expect(createPublicKey(privateKeyPem).asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
    }
  });
});

describe('DER', () => {
  it('writes lengths in the shortest form', () => {
    expect([...tagged(0x04, Buffer.alloc(127)).subarray(0, 2)]).toEqual([0x04, 127]);
    expect([...tagged(0x04, Buffer.alloc(128)).subarray(0, 3)]).toEqual([0x04, 0x81, 128]);
    expect([...tagged(0x04, Buffer.alloc(300)).subarray(0, 4)]).toEqual([0x04, 0x82, 1, 44]);
  });

  it('writes object identifiers in base 128', () => {
    expect(objectIdentifier('1.2.840.10045.4.3.2').toString('hex')).toBe('06082a8648ce3d040302');
  });
});
