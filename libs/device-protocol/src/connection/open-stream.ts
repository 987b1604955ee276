import { connect as connectPlain, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ConnectionIdentity } from '../identity.ts';
import { ServerUnreachableError } from '../errors.ts';
import type { BrokerAddress } from './broker-url.ts';
import { connectionFailure } from './tls-failures.ts';

/**
 * A connected socket: over mutual TLS with the identity, only its authorities trusted and the host name checked.
 *
 * @throws ServerUntrustedError, ServerUnreachableError
 */
export function openStream(
  address: BrokerAddress,
  identity: ConnectionIdentity,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Socket> {
  const { host, port, secure } = address;
  return new Promise<Socket>((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const socket = secure
      ? connectTls({
          host,
          port,
          ca: identity.authorities,
          cert: identity.certificate,
          key: identity.privateKeyPem,
          minVersion: 'TLSv1.2',
          ...(isIP(host) === 0 && { servername: host }),
        })
      : connectPlain({ host, port });
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.removeListener('error', onError);
    };
    const fail = (reason: unknown): void => {
      done();
      // What else goes wrong while it is torn down is of no interest, but must not surface as uncaught.
      socket.on('error', () => undefined);
      socket.destroy();
      reject(reason);
    };
    const onAbort = (): void => fail(signal.reason);
    const onError = (error: unknown): void => fail(connectionFailure(`${host}:${port}`, error));
    const timer = setTimeout(
      () => fail(new ServerUnreachableError(`${host}:${port} did not answer in ${timeoutMs} ms`)),
      timeoutMs,
    );
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', onError);
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      done();
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}
