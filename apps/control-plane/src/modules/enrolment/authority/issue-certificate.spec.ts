import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { newRequest } from '../enrolment.fixture.ts';
import { readCertificateRequest } from './certificate-request.ts';
import { importIssuer } from './import-issuer.ts';
import { createAuthority, fingerprintOf, issueDeviceCertificate, issueServerCertificate } from './issue-certificate.ts';

const NOW = Date.UTC(2027, 0, 1);
const DAY = 86_400_000;
const authority = await createAuthority('one', { now: NOW, expiresAt: NOW + 100 * DAY });
const issuer = await importIssuer(authority);

const issue = async (expiresAt: number) => {
  const { csr } = await newRequest();
  const key = await readCertificateRequest(csr);
  return issueDeviceCertificate(issuer, key, { fleet: 'f', device: 'd' }, { now: NOW, expiresAt });
};

describe('an authority', () => {
  it('may issue certificates, but no authorities, and names itself', () => {
    const certificate = new X509Certificate(authority.pem);
    expect(certificate.ca).toBe(true);
    expect(certificate.subject).toBe('CN=Drover authority one');
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(authority.pin).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });
});

describe("the server's certificate", () => {
  it('is for all its names and addresses, for servers only, and signed by the authority', async () => {
    const hosts = ['drover.example', '10.0.0.7', '::1'];
    const { pem } = await issueServerCertificate(issuer, hosts, { now: NOW, expiresAt: NOW + DAY });
    const certificate = new X509Certificate(pem);
    expect(certificate.checkHost('drover.example')).toBe('drover.example');
    expect(certificate.checkIP('10.0.0.7')).toBe('10.0.0.7');
    expect(certificate.checkIP('::1')).toBe('::1');
    expect(certificate.checkHost('else.example')).toBeUndefined();
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(certificate.verify(new X509Certificate(authority.pem).publicKey)).toBe(true);
  });
});

describe("a device's certificate", () => {
  it('is recorded as it is: serial, fingerprint and end', async () => {
    const issued = await issue(NOW + 30 * DAY);
    const certificate = new X509Certificate(issued.pem);
    expect(certificate.serialNumber.toLowerCase()).toBe(issued.serial);
    expect(certificate.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(issued.fingerprint);
    expect(fingerprintOf(certificate.raw)).toBe(issued.fingerprint);
    expect(certificate.validToDate).toEqual(issued.expiresAt);
    expect(issued.expiresAt.getTime()).toBe(NOW + 30 * DAY);
  });

  it('never outlives its authority', async () => {
    expect((await issue(NOW + 1_000 * DAY)).expiresAt.getTime()).toBe(NOW + 100 * DAY);
  });

  it('has a serial number that no other one has', async () => {
    const serials = await Promise.all(Array.from({ length: 50 }, async () => (await issue(NOW + DAY)).serial));
    expect(new Set(serials).size).toBe(50);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
  });
});
