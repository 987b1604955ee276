import type { EnrolResponse, HardwareProfile, RenewResponse, enrolRequestSchema } from '@drover/contracts';
import type { Clock } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { DevicePrincipal } from '../../platform/broker/device-gateway.ts';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { UnauthenticatedError } from '../../platform/http/errors.ts';
import { KeyStore } from '../../platform/keys/key-store.ts';
import { DeviceLifecycle } from '../devices/device-lifecycle.service.ts';
import type { Incarnation } from '../devices/device-lifecycle.service.ts';
import { DeviceOutboxRepository } from '../devices/device-outbox.repository.ts';
import { CertificateAuthority } from './authority/certificate-authority.service.ts';
import { readCertificateRequest } from './authority/certificate-request.ts';
import { CertificateRepository } from './certificate.repository.ts';
import { CLOCK } from './clock.ts';
import { TooManyAttemptsError } from './errors.ts';
import type { EnrolmentTokenRow } from './enrolment-token.repository.ts';
import { EnrolmentTokenService } from './enrolment-token.service.ts';
import { PublicAddresses } from './public-addresses.ts';

const HOUR_MS = 3_600_000;
/** Certificates that a device can have issued in an hour: enough for one that cannot store them, not enough to fill a disk. */
const MAX_CERTIFICATES_PER_HOUR = 30;

export type ParsedEnrolRequest = z.output<typeof enrolRequestSchema>;

/**
 * Gives devices their identity.
 *
 * INVARIANTS
 * - A device has certificates of its present epoch only: enrolling again under an id revokes all others in the same transaction.
 * - A certificate is issued and recorded in one transaction that holds the device's row, and so does a revocation: none can slip
 *   out beside the other.
 */
@Injectable()
export class EnrolmentService {
  constructor(
    private readonly database: Database,
    private readonly tokens: EnrolmentTokenService,
    private readonly devices: DeviceLifecycle,
    private readonly certificates: CertificateRepository,
    private readonly outbox: DeviceOutboxRepository,
    private readonly authority: CertificateAuthority,
    private readonly keys: KeyStore,
    private readonly addresses: PublicAddresses,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Enters a device, or replaces the one that the token names, and issues its first certificate.
   *
   * @throws EnrolmentTokenInvalidError, CertificateRequestInvalidError
   */
  async enrol(request: ParsedEnrolRequest): Promise<EnrolResponse> {
    const token = await this.tokens.require(request.token);
    const publicKey = await readCertificateRequest(request.csr);
    const fleet = token.fleetId;
    const { device, epoch, certificate } = await this.database.transaction(async (tx) => {
      const incarnation = await this.#enter(tx, token, request);
      const issued = await this.authority.issueForDevice(publicKey, { fleet, device: incarnation.device });
      await this.certificates.create(tx, fleet, incarnation.device, incarnation.epoch, issued);
      await this.tokens.use(tx, token);
      return { ...incarnation, certificate: issued.pem };
    });
    const { keySet, rootPublicKey } = this.keys;
    return { fleet, device, epoch, certificate, rootKey: rootPublicKey, keys: keySet, ...this.#server() };
  }

  /**
   * Another certificate for a device that has shown a valid one, which stays valid beside it: the device may lose power before it
   * has stored the new one.
   *
   * @throws UnauthenticatedError where the certificate was revoked just now, CertificateRequestInvalidError, TooManyAttemptsError
   */
  async renew(principal: DevicePrincipal, csr: string, profile: HardwareProfile | undefined): Promise<RenewResponse> {
    const { fleet, device } = principal;
    const publicKey = await readCertificateRequest(csr);
    const now = this.clock.now();
    const certificate = await this.database.transaction(async (tx) => {
      const { epoch } = await this.devices.requireActive(tx, fleet, device);
      if (!(await this.certificates.isValid(tx, fleet, principal.certificateSerial, epoch, new Date(now))))
        throw new UnauthenticatedError('The certificate was revoked.');
      const recent = await this.certificates.countIssuedSince(tx, fleet, device, new Date(now - HOUR_MS));
      if (recent >= MAX_CERTIFICATES_PER_HOUR)
        throw new TooManyAttemptsError(`Device "${device}" was issued ${recent} certificates within an hour.`, 600);
      const issued = await this.authority.issueForDevice(publicKey, { fleet, device });
      await this.certificates.create(tx, fleet, device, epoch, issued);
      if (profile) await this.devices.profileChanged(tx, fleet, device, profile);
      return issued.pem;
    });
    return { certificate, ...this.#server() };
  }

  async #enter(tx: Transaction, token: EnrolmentTokenRow, request: ParsedEnrolRequest): Promise<Incarnation> {
    const { profile, pipelines, name, tags } = request;
    const { fleetId: fleet, deviceId: device } = token;
    if (device === null)
      return this.devices.register(tx, fleet, { profile, pipelines, name, tags, group: token.groupId });
    const incarnation = await this.devices.replace(tx, fleet, device, { profile, pipelines });
    const reason = 'replaced by another enrolment';
    await this.certificates.revokeAll(tx, fleet, device, reason, new Date(this.clock.now()));
    await this.outbox.disconnect(tx, fleet, device, { reason });
    return incarnation;
  }

  /** What a device is told of its server. */
  #server(): Pick<EnrolResponse, 'authorities' | 'mqtt' | 'https'> {
    return {
      authorities: this.authority.accepted,
      mqtt: { urls: this.addresses.mqtt },
      https: { urls: this.addresses.https },
    };
  }
}
