import { CertificateRequestInvalidError } from '../errors.ts';
import { x509 } from './x509.ts';

/** A request of a P-256 key has about 300 bytes; with a long subject and attributes not much more. */
const MAX_REQUEST_CHARACTERS = 4_096;
const PEM =
  /^-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----\s[A-Za-z0-9+/=\s]+-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/;

/**
 * The public key of a certification request (PKCS#10) whose sender has proven to hold the private one. Everything else in
 * it is ignored.
 *
 * @throws CertificateRequestInvalidError
 */
export async function readCertificateRequest(pem: string): Promise<x509.PublicKey> {
  if (pem.length > MAX_REQUEST_CHARACTERS)
    throw CertificateRequestInvalidError.because(`is over ${MAX_REQUEST_CHARACTERS} characters`);
  if (!PEM.test(pem)) throw CertificateRequestInvalidError.because('is no PKCS#10 request in PEM');
  const request = parse(pem);
  const { name, namedCurve } = request.publicKey.algorithm as { name?: string; namedCurve?: string };
  if (name !== 'ECDSA' || namedCurve !== 'P-256')
    throw CertificateRequestInvalidError.because('must be for a key of ECDSA on the curve P-256');
  let proven: boolean;
  try {
    proven = await request.verify();
  } catch (error) {
    throw CertificateRequestInvalidError.because('has a signature that cannot be checked', error);
  }
  if (!proven) throw CertificateRequestInvalidError.because('is not signed with the key that it is for');
  return request.publicKey;
}

function parse(pem: string): x509.Pkcs10CertificateRequest {
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    // Parsed on access, and may throw then.
    void request.publicKey.algorithm;
    return request;
  } catch (error) {
    throw CertificateRequestInvalidError.because('is no PKCS#10 request in PEM', error);
  }
}
