import { webcrypto } from 'node:crypto';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

export interface IssuedCertificate {
  /** PEM, PKCS #8. */
  readonly key: string;
  /** PEM. */
  readonly cert: string;
  /** Lower-case hexadecimal. */
  readonly serial: string;
}

/** A certificate authority for tests, as enrolment's is: ECDSA P-256. */
export class TestAuthority {
  readonly cert: string;
  readonly #keys: webcrypto.CryptoKeyPair;
  readonly #name: string;
  static #serials = 0;

  private constructor(name: string, keys: webcrypto.CryptoKeyPair, cert: string) {
    this.#name = name;
    this.#keys = keys;
    this.cert = cert;
  }

  static async create(name = 'Test authority'): Promise<TestAuthority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: nextSerial(++TestAuthority.#serials),
      name: `CN=${name}`,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new TestAuthority(name, keys, `${certificate.toString('pem')}\n`);
  }

  async server(hosts: readonly string[] = ['localhost', '127.0.0.1']): Promise<IssuedCertificate> {
    const names = hosts.map((value) => ({ type: /^[\d.]+$/.test(value) ? ('ip' as const) : ('dns' as const), value }));
    return this.#issue('CN=server', [new x509.SubjectAlternativeNameExtension(names)], DAY_MS);
  }

  async device(device: string, lifetimeMs = DAY_MS): Promise<IssuedCertificate> {
    return this.#issue(`CN=${device}`, [], lifetimeMs);
  }

  async #issue(subject: string, extensions: x509.Extension[], lifetimeMs: number): Promise<IssuedCertificate> {
    const keys = await newKeys();
    const serialNumber = nextSerial(++TestAuthority.#serials);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber,
      subject,
      issuer: `CN=${this.#name}`,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + lifetimeMs),
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions,
    });
    const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    return {
      key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
      cert: `${certificate.toString('pem')}\n`,
      serial: serialNumber,
    };
  }
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
}

/** Never the same, and never one that needs a sign byte. */
function nextSerial(count: number): string {
  return `1${count.toString(16).padStart(15, '0')}`;
}
