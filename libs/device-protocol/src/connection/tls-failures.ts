import { DroverError, messageOf } from '@drover/runtime';
import { ServerUnreachableError, ServerUntrustedError } from '../errors.ts';

/** OpenSSL's names for what is wrong with a peer's certificate, as Node hands them on, are not one family: these prefixes are. */
const DISTRUST =
  /^(CERT_|ERR_TLS_CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH)/;

/** Tells a server that must not be trusted from one that is only not there. */
export function connectionFailure(host: string, error: unknown): DroverError {
  if (error instanceof DroverError) return error;
  const code = String((error as { code?: unknown } | null)?.code ?? '');
  return DISTRUST.test(code)
    ? new ServerUntrustedError(`The certificate of ${host} does not hold: ${messageOf(error)}`, { cause: error })
    : new ServerUnreachableError(`No connection to ${host}: ${messageOf(error)}`, { cause: error });
}
