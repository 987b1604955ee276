import type { Clock } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { OnModuleInit } from '@nestjs/common';
import type { Counter } from 'prom-client';
import type { DevicePrincipal } from '../../platform/broker/device-gateway.ts';
import { DeviceIdentity } from '../../platform/broker/device-identity.ts';
import type { DeviceAuthenticator as Authenticator } from '../../platform/broker/device-identity.ts';
import { Metrics } from '../../platform/metrics.ts';
import { fingerprintOf } from './authority/issue-certificate.ts';
import { standingOf } from './certificate-standing.ts';
import type { CertificateRecord, CertificateStanding } from './certificate-standing.ts';
import { CertificateRepository } from './certificate.repository.ts';
import { CLOCK } from './clock.ts';

export interface Judgement {
  readonly standing: CertificateStanding;
  /** Null where the certificate is unknown. */
  readonly record: CertificateRecord | null;
}

/**
 * Says which device a certificate belongs to.
 *
 * INVARIANT: once a revocation has committed, no process accepts the certificate. So nothing is remembered here: each
 * connection costs one search in an index, little beside its handshake, and there is no cache that could outlive a revocation.
 */
@Injectable()
export class DeviceAuthenticator implements Authenticator, OnModuleInit {
  readonly #judged: Counter<'standing'>;

  constructor(
    private readonly certificates: CertificateRepository,
    private readonly identity: DeviceIdentity,
    metrics: Metrics,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.#judged = metrics.counter(
      'device_certificates_total',
      'Device certificates shown by what they were worth (valid, unknown, expired, replaced, revoked, decommissioned)',
      ['standing'],
    );
  }

  onModuleInit(): void {
    this.identity.provide(this);
  }

  async authenticate(der: Uint8Array): Promise<DevicePrincipal | null> {
    const { standing, record } = await this.judge(der);
    if (standing !== 'valid' || !record) return null;
    return { fleet: record.fleet, device: record.device, certificateSerial: record.serial };
  }

  /** The same with the reason. That the sender holds the certificate's key was proven by the handshake. */
  async judge(der: Uint8Array): Promise<Judgement> {
    const record = await this.certificates.findByFingerprint(fingerprintOf(der));
    const standing = standingOf(record, this.clock.now());
    this.#judged.inc({ standing });
    return { standing, record };
  }
}
