import { createHash } from 'node:crypto';
import { ID_PATTERN, parseEnrolmentToken } from '@drover/contracts';
import type { BodyOf, EnrolmentToken, PageQuery, ResponseOf, api } from '@drover/contracts';
import { InvalidInputError, newId, newSecret } from '@drover/runtime';
import type { Clock } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { NotFoundError } from '../../platform/http/errors.ts';
import { DeviceLifecycle } from '../devices/device-lifecycle.service.ts';
import { GroupService } from '../devices/group.service.ts';
import { CertificateAuthority } from './authority/certificate-authority.service.ts';
import { CLOCK } from './clock.ts';
import { EnrolmentTokenInvalidError } from './errors.ts';
import { EnrolmentTokenRepository } from './enrolment-token.repository.ts';
import type { EnrolmentTokenRow } from './enrolment-token.repository.ts';
import { PublicAddresses } from './public-addresses.ts';

/**
 * Tokens that let devices enrol: `drover1.<pin>.<secret>`. The secret has 256 random bits and only its SHA-256 is kept; a token is
 * looked up by that hash, so there is no comparison whose time could tell anything.
 */
@Injectable()
export class EnrolmentTokenService {
  constructor(
    private readonly database: Database,
    private readonly tokens: EnrolmentTokenRepository,
    private readonly groups: GroupService,
    private readonly devices: DeviceLifecycle,
    private readonly authority: CertificateAuthority,
    private readonly addresses: PublicAddresses,
    private readonly events: EventOutbox,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** @throws InvalidInputError for a group or a device that cannot be meant */
  async create(
    fleet: string,
    input: BodyOf<typeof api.enrolmentTokens.create>,
  ): Promise<ResponseOf<typeof api.enrolmentTokens.create>> {
    if (input.device !== undefined && input.group !== undefined) {
      throw new InvalidInputError('group: a device that is enrolled again keeps its groups', {
        problems: [{ path: 'group', message: 'must not be given together with a device' }],
      });
    }
    const secret = newSecret();
    const { pin, until } = this.authority.serving;
    const now = this.clock.now();
    const row = await this.database.transaction(async (tx) => {
      if (input.group !== undefined) await this.groups.requireStaticAt(tx, fleet, input.group, 'group');
      if (input.device !== undefined) await this.#requireDevice(tx, fleet, input.device);
      const created = await this.tokens.create(tx, fleet, {
        id: newId('tok', now),
        name: input.name,
        hash: hashOf(secret),
        maxUses: input.maxUses,
        groupId: input.group ?? null,
        deviceId: input.device ?? null,
        createdAt: new Date(now),
        // Afterwards the server shows another authority than the one that the token pins.
        expiresAt: new Date(Math.min(now + input.expiresInMinutes * 60_000, until)),
      });
      const data = { name: created.name, maxUses: created.maxUses, group: created.groupId, device: created.deviceId };
      await this.events.append(tx, { fleet, type: 'enrolment-token.created', subject: created.id, data });
      return created;
    });
    return { ...toEnrolmentToken(row), token: `drover1.${pin}.${secret}`, url: this.addresses.https[0]! };
  }

  async list(fleet: string, page: PageQuery): Promise<{ items: EnrolmentToken[]; nextCursor: string | null }> {
    const { items, nextCursor } = await this.tokens.page(fleet, page);
    return { items: items.map(toEnrolmentToken), nextCursor };
  }

  /** @throws NotFoundError */
  async revoke(fleet: string, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      if (!ID_PATTERN.test(id) || !(await this.tokens.revoke(tx, fleet, id, new Date(this.clock.now()))))
        throw NotFoundError.of('valid enrolment token', id);
      await this.events.append(tx, { fleet, type: 'enrolment-token.revoked', subject: id });
    });
  }

  /** The token behind a text, where it is good at this moment. @throws EnrolmentTokenInvalidError */
  async require(text: string): Promise<EnrolmentTokenRow> {
    const parsed = parseEnrolmentToken(text);
    const row = parsed && (await this.tokens.findByHash(hashOf(parsed.secret)));
    if (!row) throw new EnrolmentTokenInvalidError('The enrolment token is not known here.');
    this.#requireGood(row);
    return row;
  }

  /**
   * Takes one use of a token. Last in its transaction: the row stays locked from here until the commit, and devices that enrol
   * with the same token wait for each other only that long.
   *
   * @throws EnrolmentTokenInvalidError where another was faster
   */
  async use(tx: Transaction, token: EnrolmentTokenRow): Promise<void> {
    if (await this.tokens.use(tx, token.fleetId, token.id, new Date(this.clock.now()))) return;
    throw new EnrolmentTokenInvalidError(`The enrolment token "${token.name}" was used up or withdrawn meanwhile.`);
  }

  #requireGood(row: EnrolmentTokenRow): void {
    // Who holds the secret may know why it is no good; who guesses never comes here.
    const because =
      row.revokedAt !== null
        ? 'was revoked'
        : row.expiresAt.getTime() <= this.clock.now()
          ? `has expired (${row.expiresAt.toISOString()})`
          : row.uses >= row.maxUses
            ? `is used up (${row.maxUses} of ${row.maxUses})`
            : null;
    if (because !== null) throw new EnrolmentTokenInvalidError(`The enrolment token "${row.name}" ${because}.`);
  }

  async #requireDevice(tx: Transaction, fleet: string, device: string): Promise<void> {
    try {
      await this.devices.requireActive(tx, fleet, device);
    } catch (error) {
      const message = `there is no active device "${device}"`;
      throw new InvalidInputError(`device: ${message}`, { cause: error, problems: [{ path: 'device', message }] });
    }
  }
}

function hashOf(secret: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(secret).digest());
}

function toEnrolmentToken(row: EnrolmentTokenRow): EnrolmentToken {
  return {
    id: row.id,
    name: row.name,
    maxUses: row.maxUses,
    uses: row.uses,
    group: row.groupId,
    device: row.deviceId,
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
    revokedAt: row.revokedAt?.toISOString() ?? null,
  };
}
