import type { Envelope, ResponseOf, api } from '@drover/contracts';
import { ID_PATTERN } from '@drover/contracts';
import { newId } from '@drover/runtime';
import type { Clock } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import { signEnvelope } from '@drover/trust';
import { Database } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { NotFoundError } from '../../platform/http/errors.ts';
import { KeyStore } from '../../platform/keys/key-store.ts';
import { DeviceLifecycle } from '../devices/device-lifecycle.service.ts';
import { DeviceOutboxRepository } from '../devices/device-outbox.repository.ts';
import { DeviceRegistry } from '../devices/device-registry.service.ts';
import { TwinService } from '../devices/twin.service.ts';
import { CertificateRepository } from './certificate.repository.ts';
import { CLOCK } from './clock.ts';
import { EnrolmentTokenRepository } from './enrolment-token.repository.ts';

/** How long a connected device is given to confirm that it erases itself before it is cut off. */
const ERASE_GRACE_MS = 5_000;
const ERASE_ORDER_LIFETIME_MS = 86_400_000;

type Certificates = ResponseOf<typeof api.devices.certificates>;

/**
 * Takes identities away. The certificates are worth nothing from the commit on, in every process; the gateway that holds the
 * connection learns of it from the device outbox.
 *
 * Decommissioning: a connected device is sent the signed order to erase and cut off once it has confirmed, or after some seconds.
 * One that is not connected cannot connect any more; when it shows its certificate to the HTTPS listener it is refused, and the
 * refusal carries the same order. The certificate opens nothing by that: it only proves whose order to hand out, and an order to
 * erase is of no use to anybody else.
 */
@Injectable()
export class RevocationService {
  constructor(
    private readonly database: Database,
    private readonly registry: DeviceRegistry,
    private readonly devices: DeviceLifecycle,
    private readonly twins: TwinService,
    private readonly certificates: CertificateRepository,
    private readonly tokens: EnrolmentTokenRepository,
    private readonly outbox: DeviceOutboxRepository,
    private readonly keys: KeyStore,
    private readonly events: EventOutbox,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** The newest first. @throws NotFoundError */
  async list(fleet: string, device: string): Promise<Certificates> {
    await this.registry.get(fleet, device);
    const rows = await this.certificates.list(fleet, device);
    const items = rows.map((row) => ({
      serial: row.serial,
      device: row.deviceId,
      issuedAt: row.issuedAt.toISOString(),
      expiresAt: row.expiresAt.toISOString(),
      revokedAt: row.revokedAt?.toISOString() ?? null,
      revocationReason: row.revocationReason,
    }));
    return { items };
  }

  /** The device stays; it needs a token of its own to enrol again. @throws NotFoundError, ConflictError */
  async revokeCertificates(fleet: string, device: string, reason: string): Promise<void> {
    requireId(device);
    await this.database.transaction(async (tx) => {
      await this.devices.requireActive(tx, fleet, device);
      const count = await this.certificates.revokeAll(tx, fleet, device, reason, new Date(this.clock.now()));
      await this.outbox.disconnect(tx, fleet, device, { reason });
      const data = { reason, count };
      await this.events.append(tx, { fleet, type: 'device.certificates-revoked', subject: device, data });
    });
  }

  /** For good: the id is never used again. @throws NotFoundError, ConflictError */
  async decommission(fleet: string, device: string): Promise<void> {
    requireId(device);
    const reason = 'decommissioned';
    const now = new Date(this.clock.now());
    await this.database.transaction(async (tx) => {
      await this.devices.decommission(tx, fleet, device);
      await this.certificates.revokeAll(tx, fleet, device, reason, now);
      await this.tokens.revokeOfDevice(tx, fleet, device, now);
      const id = newId('cmd');
      await this.outbox.command(tx, fleet, device, { type: 'erase', id });
      await this.outbox.disconnect(tx, fleet, device, { reason, afterCommand: id, graceMs: ERASE_GRACE_MS });
    });
  }

  /** The order to erase for a decommissioned device that shows up again. */
  async eraseOrder(fleet: string, device: string): Promise<Envelope> {
    const { epoch, version } = await this.twins.get(fleet, device);
    const now = this.clock.now();
    return signEnvelope(
      {
        kind: 'command',
        fleet,
        device,
        epoch,
        version,
        issuedAt: new Date(now).toISOString(),
        expiresAt: new Date(now + ERASE_ORDER_LIFETIME_MS).toISOString(),
        payload: { type: 'erase', id: newId('cmd', now) },
      },
      this.keys.signers('twin'),
    );
  }
}

function requireId(device: string): void {
  if (!ID_PATTERN.test(device)) throw NotFoundError.of('device', device);
}
