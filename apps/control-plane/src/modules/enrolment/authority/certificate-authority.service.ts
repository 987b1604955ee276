import { newId } from '@drover/runtime';
import type { Clock } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { KeyStore } from '../../../platform/keys/key-store.ts';
import { CLOCK } from '../clock.ts';
import { AuthorityNotReadyError } from '../errors.ts';
import { authorityLifetimeMs, planAuthorities } from './authority-plan.ts';
import type { AuthorityPlan, AuthorityTimes } from './authority-plan.ts';
import { AuthorityRepository } from './authority.repository.ts';
import type { AuthorityRow } from './authority.repository.ts';
import { createAuthority, issueDeviceCertificate, issueServerCertificate, pinOf } from './issue-certificate.ts';
import type { Issued, IssuedWithKey, Issuer } from './issue-certificate.ts';
import { importIssuer } from './import-issuer.ts';
import type { x509 } from './x509.ts';

interface Authority extends Issuer, AuthorityTimes {
  readonly id: string;
  readonly pem: string;
}

/** Issues the certificates of devices and of the server. Made at the first start, replaced long before it expires. */
@Injectable()
export class CertificateAuthority {
  #loaded: readonly Authority[] = [];

  constructor(
    private readonly authorities: AuthorityRepository,
    private readonly keys: KeyStore,
    private readonly config: Config,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Makes the authority that is missing or soon will be, and loads what other processes have made. */
  async refresh(): Promise<void> {
    const rows = await this.authorities.list();
    if (this.#isDue(rows)) await this.#make();
    const known = new Map(this.#loaded.map((authority) => [authority.id, authority]));
    const current = await this.authorities.list();
    this.#loaded = await Promise.all(current.map((row) => known.get(row.id) ?? this.#load(row)));
  }

  /** Certificates of all accepted authorities, PEM, the oldest first. */
  get accepted(): string[] {
    return this.#plan().accepted.map((authority) => authority.pem);
  }

  /** The authority of the server's certificate: what enrolment tokens pin. */
  get serving(): { readonly id: string; readonly pem: string; readonly pin: string; readonly until: number } {
    const { serving, servingUntil } = this.#plan();
    return { id: serving.id, pem: serving.pem, pin: pinOf(serving.certificate), until: servingUntil };
  }

  /** When `refresh` has something to do next, milliseconds since the epoch. */
  get nextChangeAt(): number {
    const { servingUntil, successorDueAt } = this.#plan();
    return Math.min(servingUntil, successorDueAt);
  }

  issueForDevice(publicKey: x509.PublicKey, identity: { fleet: string; device: string }): Promise<Issued> {
    const now = this.clock.now();
    const expiresAt = now + this.config.device.DROVER_CERTIFICATE_LIFETIME;
    return issueDeviceCertificate(this.#plan().issuing, publicKey, identity, { now, expiresAt });
  }

  issueForServer(hosts: readonly string[], lifetimeMs: number): Promise<IssuedWithKey> {
    const now = this.clock.now();
    return issueServerCertificate(this.#plan().serving, hosts, { now, expiresAt: now + lifetimeMs });
  }

  async #make(): Promise<void> {
    await this.authorities.alone(async (tx) => {
      if (!this.#isDue(await this.authorities.list(tx))) return;
      const now = this.clock.now();
      const id = newId('ca', now);
      const lifetimeMs = authorityLifetimeMs(this.config.device.DROVER_CERTIFICATE_LIFETIME);
      const made = await createAuthority(id, { now, expiresAt: now + lifetimeMs });
      const secretName = `authority/${id}`;
      await this.keys.storeSecret(tx, secretName, Buffer.from(made.key));
      const { pem: certificate, issuedAt: createdAt, expiresAt } = made;
      await this.authorities.create(tx, { id, certificate, secretName, createdAt, expiresAt });
      await this.authorities.announce(tx);
    });
  }

  #isDue(rows: readonly AuthorityRow[]): boolean {
    const times = rows.map((row) => ({ createdAt: row.createdAt.getTime(), expiresAt: row.expiresAt.getTime() }));
    const now = this.clock.now();
    const plan = planAuthorities(times, now, this.config.device.DROVER_CERTIFICATE_LIFETIME);
    return plan === null || plan.successorDueAt <= now;
  }

  async #load(row: AuthorityRow): Promise<Authority> {
    const key = (await this.keys.secret(row.secretName)).toString('utf8');
    return {
      ...(await importIssuer({ pem: row.certificate, key })),
      id: row.id,
      pem: row.certificate,
      createdAt: row.createdAt.getTime(),
      expiresAt: row.expiresAt.getTime(),
    };
  }

  #plan(): AuthorityPlan<Authority> {
    const plan = planAuthorities(this.#loaded, this.clock.now(), this.config.device.DROVER_CERTIFICATE_LIFETIME);
    if (!plan) throw new AuthorityNotReadyError('There is no certificate authority that has not expired.');
    return plan;
  }
}
