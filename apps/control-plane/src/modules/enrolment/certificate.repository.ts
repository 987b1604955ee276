import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { Issued } from './authority/issue-certificate.ts';
import type { CertificateRecord } from './certificate-standing.ts';

export interface CertificateRow {
  readonly serial: string;
  readonly deviceId: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
  readonly revocationReason: string | null;
}

@Injectable()
export class CertificateRepository {
  constructor(private readonly database: Database) {}

  /** What is known of a certificate and its device. The one read without a fleet: the certificate says which one. */
  async findByFingerprint(fingerprint: string): Promise<CertificateRecord | null> {
    const { rows } = await this.database.pool.query<CertificateRecord>({
      name: 'certificate-by-fingerprint',
      text: `SELECT c.fleet_id AS fleet, c.device_id AS device, c.serial, c.epoch, c.expires_at AS "expiresAt",
                    c.revoked_at AS "revokedAt", d.epoch AS "deviceEpoch", d.state AS "deviceState"
               FROM certificates c JOIN devices d ON d.fleet_id = c.fleet_id AND d.id = c.device_id
              WHERE c.fingerprint = $1`,
      values: [fingerprint],
    });
    return rows[0] ?? null;
  }

  /** The newest first. */
  async list(fleet: string, device: string): Promise<CertificateRow[]> {
    return this.database.prisma.certificate.findMany({
      where: { fleetId: fleet, deviceId: device },
      orderBy: [{ issuedAt: 'desc' }, { serial: 'asc' }],
      take: 1_000,
    });
  }

  async create(tx: Transaction, fleet: string, device: string, epoch: number, issued: Issued): Promise<void> {
    const { serial, fingerprint, issuedAt, expiresAt } = issued;
    await tx.certificate.create({
      data: { fleetId: fleet, deviceId: device, epoch, serial, fingerprint, issuedAt, expiresAt },
      select: { serial: true },
    });
  }

  /** Whether a certificate counts at this moment of the transaction, its device's row being locked. */
  async isValid(tx: Transaction, fleet: string, serial: string, epoch: number, now: Date): Promise<boolean> {
    const count = await tx.certificate.count({
      where: { fleetId: fleet, serial, epoch, revokedAt: null, expiresAt: { gt: now } },
    });
    return count > 0;
  }

  async countIssuedSince(tx: Transaction, fleet: string, device: string, since: Date): Promise<number> {
    return tx.certificate.count({ where: { fleetId: fleet, deviceId: device, issuedAt: { gt: since } } });
  }

  /** @returns how many were valid before */
  async revokeAll(tx: Transaction, fleet: string, device: string, reason: string, at: Date): Promise<number> {
    const { count } = await tx.certificate.updateMany({
      where: { fleetId: fleet, deviceId: device, revokedAt: null },
      data: { revokedAt: at, revocationReason: reason },
    });
    return count;
  }
}
