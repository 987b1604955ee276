/** A certificate as it was issued, and its device as it is now. */
export interface CertificateRecord {
  readonly fleet: string;
  readonly device: string;
  readonly serial: string;
  /** The incarnation that it was issued to. */
  readonly epoch: number;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
  readonly deviceEpoch: number;
  readonly deviceState: string;
}

/** What a certificate is worth. Only `valid` opens anything. */
export type CertificateStanding = 'valid' | 'unknown' | 'expired' | 'replaced' | 'revoked' | 'decommissioned';

export function standingOf(record: CertificateRecord | null, now: number): CertificateStanding {
  if (!record) return 'unknown';
  if (record.deviceState !== 'active') return 'decommissioned';
  if (record.epoch !== record.deviceEpoch) return 'replaced';
  if (record.revokedAt !== null) return 'revoked';
  return record.expiresAt.getTime() <= now ? 'expired' : 'valid';
}
