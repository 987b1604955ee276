import { webcrypto } from 'node:crypto';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

export interface CertificateAndKey {
  readonly certificate: string;
  readonly privateKeyPem: string;
}

/** A certificate authority that no control plane knows. */
export class ForeignAuthority {
  readonly certificate: string;
  readonly #keys: webcrypto.CryptoKeyPair;
  readonly #name: string;

  private constructor(name: string, keys: webcrypto.CryptoKeyPair, certificate: string) {
    this.#name = name;
    this.#keys = keys;
    this.certificate = certificate;
  }

  /** @param name its subject; that of the real authority, for a convincing forgery */
  static async create(name = 'CN=Somebody else'): Promise<ForeignAuthority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new ForeignAuthority(name, keys, certificate.toString('pem'));
  }

  async server(host = 'localhost'): Promise<CertificateAndKey> {
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }]);
    return this.#issue(`CN=${host}`, [names]);
  }

  /** A certificate that says of itself all that the given one says, serial number included. */
  async forge(original: string): Promise<CertificateAndKey> {
    const real = new x509.X509Certificate(original);
    return this.#issue(real.subject, real.extensions, real.serialNumber);
  }

  async #issue(subject: string, extensions: x509.Extension[], serialNumber?: string): Promise<CertificateAndKey> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      ...(serialNumber === undefined ? {} : { serialNumber }),
      subject,
      issuer: this.#name,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions,
    });
    const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    return { certificate: certificate.toString('pem'), privateKeyPem: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY') };
  }
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
}
