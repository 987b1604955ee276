import { createHash } from 'node:crypto';
import { z } from 'zod';

/** The server's certificate and key, as they are sealed in the key store. */
export const serverCertificateSchema = z.object({
  hosts: z.array(z.string()),
  /** Id of its authority. */
  authority: z.string(),
  key: z.string(),
  /** PEM, without the authority's. */
  certificate: z.string(),
  issuedAt: z.number(),
  expiresAt: z.number(),
});
export type ServerCertificate = z.infer<typeof serverCertificateSchema>;

export interface Wanted {
  readonly hosts: readonly string[];
  /** Id of the authority that serves now. */
  readonly authority: string;
  readonly lifetimeMs: number;
}

/** Processes with the same hosts share a certificate; those with others have their own. */
export function serverSecretName(hosts: readonly string[]): string {
  return `server-certificate/${createHash('sha256').update(hosts.join('\n')).digest('hex').slice(0, 32)}`;
}

/** The names of the server's certificate: those that devices are told, and always this machine itself. */
export function serverHosts(publicHosts: readonly string[]): string[] {
  return [...new Set([...publicHosts.map((host) => host.toLowerCase()), 'localhost', '127.0.0.1', '::1'])];
}

/** After two thirds of its life, by the lifetime that is configured now where that has become shorter. */
export function renewalDueAt(present: ServerCertificate, lifetimeMs: number): number {
  const life = Math.min(lifetimeMs, present.expiresAt - present.issuedAt);
  return present.issuedAt + (life * 2) / 3;
}

export function isFit(present: ServerCertificate | null, wanted: Wanted, now: number): present is ServerCertificate {
  return (
    present !== null &&
    present.authority === wanted.authority &&
    present.hosts.join('\n') === wanted.hosts.join('\n') &&
    now < renewalDueAt(present, wanted.lifetimeMs)
  );
}
