import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { X509Certificate } from 'node:crypto';
import { spkiPin } from '@drover/trust';
import { connectionFailure } from '../connection/tls-failures.ts';
import { ServerUnreachableError, ServerUntrustedError } from '../errors.ts';

export interface PinnedAuthorityOptions {
  readonly host: string;
  readonly port: number;
  /** `spkiPin` of the authority's key. */
  readonly pin: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks a server for its certificate chain and gives the authority in it that has the pinned key, as PEM. Nothing is sent
 * but the handshake, and nothing about the server is believed yet: connecting again with this authority as the only one
 * trusted lets the TLS library itself check chain, purposes, times and host name.
 *
 * @throws ServerUntrustedError where the chain has no such authority; ServerUnreachableError
 */
export function pinnedAuthority(options: PinnedAuthorityOptions): Promise<string> {
  const { host, port, pin, timeoutMs, signal } = options;
  const within = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]);
  return new Promise<string>((resolve, reject) => {
    const socket = connect({
      host,
      port,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      ...(isIP(host) === 0 && { servername: host }),
    });
    const settle = (act: () => void): void => {
      within.removeEventListener('abort', onAbort);
      socket.destroy();
      act();
    };
    const onAbort = (): void =>
      settle(() =>
        reject(
          signal?.aborted
            ? signal.reason
            : new ServerUnreachableError(`${host}:${port} did not answer in ${timeoutMs} ms`),
        ),
      );
    within.addEventListener('abort', onAbort, { once: true });
    socket.once('error', (error) => settle(() => reject(connectionFailure(`${host}:${port}`, error))));
    socket.once('secureConnect', () => {
      const authority = authorityIn(socket.getPeerX509Certificate(), pin);
      settle(() =>
        authority === null
          ? reject(new ServerUntrustedError(`${host}:${port} is not the server that the token was made for`))
          : resolve(authority.toString()),
      );
    });
    if (within.aborted) onAbort();
  });
}

function authorityIn(leaf: X509Certificate | undefined, pin: string): X509Certificate | null {
  // A chain is a handful of certificates; the bound only keeps a hostile one from going on for ever.
  let certificate = leaf;
  for (let depth = 0; certificate !== undefined && depth < 10; depth += 1) {
    const { publicKey } = certificate;
    if (certificate.ca && spkiPin(publicKey.export({ type: 'spki', format: 'der' })) === pin) {
      return certificate.verify(publicKey) ? certificate : null;
    }
    certificate = certificate.issuerCertificate;
  }
  return null;
}
