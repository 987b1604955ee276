import { webcrypto } from 'node:crypto';
import { KEY_ALGORITHM } from './issue-certificate.ts';
import type { Issuer } from './issue-certificate.ts';
import { x509 } from './x509.ts';

/** An authority from its two parts as they are stored. The key cannot be got out of it again. */
export async function importIssuer({ pem, key }: { readonly pem: string; readonly key: string }): Promise<Issuer> {
  const pkcs8 = x509.PemConverter.decodeFirst(key);
  return {
    certificate: new x509.X509Certificate(pem),
    signingKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, KEY_ALGORITHM, false, ['sign']),
  };
}
