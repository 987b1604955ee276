import { InsecureUrlError } from '../errors.ts';

export interface BrokerAddress {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
}

/**
 * `mqtts://host:8883`, or in development `mqtt://` on this machine, taken apart.
 *
 * @throws InsecureUrlError
 */
export function parseBrokerUrl(url: string): BrokerAddress {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (error) {
    throw new InsecureUrlError(`"${url}" is no URL; expected something like mqtts://drover.example:8883`, {
      cause: error,
    });
  }
  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  if (parsed.protocol === 'mqtts:') return { url, host, port: Number(parsed.port || 8883), secure: true };
  if (parsed.protocol !== 'mqtt:') {
    throw new InsecureUrlError(`A broker is reached over mqtts:, not ${parsed.protocol} (${url})`);
  }
  if (!isLoopback(host)) throw new InsecureUrlError(`mqtt: without TLS is for this machine only, not for ${host}`);
  return { url, host, port: Number(parsed.port || 1883), secure: false };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
