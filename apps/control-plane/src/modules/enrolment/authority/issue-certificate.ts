import { createHash, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { spkiPin } from '@drover/trust';
import { x509 } from './x509.ts';

/** The one kind of key everywhere: authority, server, devices. */
export const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

const HOUR_MS = 3_600_000;
const SERIAL_BYTES = 16;

/** A certificate with its key that signs others. */
export interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly signingKey: webcrypto.CryptoKey;
}

export interface Issued {
  readonly pem: string;
  /** Lower-case hexadecimal. */
  readonly serial: string;
  /** SHA-256 of the DER, hexadecimal. */
  readonly fingerprint: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

export interface IssuedWithKey extends Issued {
  /** PKCS#8 in PEM. */
  readonly key: string;
}

/** From when until when, milliseconds since the epoch. */
export interface Validity {
  readonly now: number;
  readonly expiresAt: number;
}

/** Makes an authority: a self-signed certificate that may issue end certificates, but no further authorities. */
export async function createAuthority(
  id: string,
  { now, expiresAt }: Validity,
): Promise<IssuedWithKey & { pin: string }> {
  const keys = await newKeys();
  const name = new x509.Name([{ CN: [`Drover authority ${id}`] }]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: name.toJSON(),
    notBefore: notBefore({ now, expiresAt }),
    notAfter: wholeSeconds(expiresAt),
    keys,
    signingAlgorithm: KEY_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { ...issued(certificate, now), key: await privateKeyPem(keys.privateKey), pin: pinOf(certificate) };
}

/** The pin of an authority, as enrolment tokens carry it. */
export function pinOf(authority: x509.X509Certificate): string {
  return spkiPin(new Uint8Array(authority.publicKey.rawData));
}

/** A new key and certificate for a server that is reached by these names and addresses. The first is its common name. */
export async function issueServerCertificate(
  issuer: Issuer,
  hosts: readonly string[],
  validity: Validity,
): Promise<IssuedWithKey> {
  const keys = await newKeys();
  const names = hosts.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value }));
  const certificate = await issue(issuer, keys.publicKey, [{ CN: [hosts[0]!.slice(0, 64)] }], validity, [
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
    new x509.SubjectAlternativeNameExtension(names),
  ]);
  return { ...issued(certificate, validity.now), key: await privateKeyPem(keys.privateKey) };
}

/**
 * A device's certificate. Whatever its request said about names is left out: the device is who the server says it is.
 *
 * @param publicKey P-256, its possession proven
 */
export async function issueDeviceCertificate(
  issuer: Issuer,
  publicKey: x509.PublicKey,
  identity: { readonly fleet: string; readonly device: string },
  validity: Validity,
): Promise<Issued> {
  const { fleet, device } = identity;
  const certificate = await issue(issuer, publicKey, [{ CN: [device] }, { O: [fleet] }], validity, [
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
    new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `urn:drover:${fleet}:${device}` }]),
  ]);
  return issued(certificate, validity.now);
}

/** SHA-256 of a certificate's DER, hexadecimal: what it is looked up by. */
export function fingerprintOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex');
}

async function issue(
  issuer: Issuer,
  publicKey: x509.PublicKeyType,
  subject: x509.JsonName,
  validity: Validity,
  extensions: readonly x509.Extension[],
): Promise<x509.X509Certificate> {
  // Never longer than its issuer: a chain with an expired authority is worth nothing.
  const expiresAt = Math.min(validity.expiresAt, issuer.certificate.notAfter.getTime());
  return x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject,
    issuer: issuer.certificate.subjectName.toJSON(),
    notBefore: notBefore({ now: validity.now, expiresAt }),
    notAfter: wholeSeconds(expiresAt),
    publicKey,
    signingKey: issuer.signingKey,
    signingAlgorithm: KEY_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ...extensions,
    ],
  });
}

function issued(certificate: x509.X509Certificate, now: number): Issued {
  return {
    pem: `${certificate.toString('pem')}\n`,
    serial: certificate.serialNumber.toLowerCase(),
    fingerprint: fingerprintOf(new Uint8Array(certificate.rawData)),
    issuedAt: new Date(now),
    expiresAt: certificate.notAfter,
  };
}

/** 126 random bits, positive and without leading zeros, so that it is written the same way everywhere. */
function newSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
}

/** A little in the past, for clocks that are behind; little for short lives, so that two thirds of a life still lie ahead. */
function notBefore({ now, expiresAt }: Validity): Date {
  return wholeSeconds(now - Math.min(HOUR_MS, (expiresAt - now) / 10));
}

/** X.509 knows no fractions of a second. */
function wholeSeconds(ms: number): Date {
  return new Date(Math.floor(ms / 1_000) * 1_000);
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}
