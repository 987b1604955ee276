import { createHash } from 'node:crypto';
import type { ApiKey, PageQuery, Role } from '@drover/contracts';
import { newId, newSecret } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import type { Caller } from '../../platform/http/caller.ts';
import { NotFoundError } from '../../platform/http/errors.ts';
import { ApiKeyRepository, toApiKey } from './api-key.repository.ts';

/** A valid API key: which fleet it belongs to (null: the instance administrator's) and what it may do. */
export interface KeyHolder {
  readonly id: string;
  readonly fleet: string | null;
  readonly role: Role;
}

const SECRET_PATTERN = /^drover_[A-Za-z0-9_-]{43}$/;
const TOUCH_EVERY_MS = 60_000;
const DAY_MS = 86_400_000;

@Injectable()
export class ApiKeyService {
  constructor(
    private readonly database: Database,
    private readonly keys: ApiKeyRepository,
    private readonly events: EventOutbox,
  ) {}

  /** Who a secret belongs to, or null where it is unknown, revoked or expired. Looked up by hash: nothing to compare in steps. */
  async authenticate(secret: string): Promise<KeyHolder | null> {
    if (!SECRET_PATTERN.test(secret)) return null;
    const row = await this.keys.findByHash(hashOf(secret));
    const now = new Date();
    if (!row || row.revokedAt || (row.expiresAt && row.expiresAt <= now)) return null;
    if (!row.lastUsedAt || now.getTime() - row.lastUsedAt.getTime() > TOUCH_EVERY_MS) {
      // When a key was last used is information only: a request never waits or fails for it.
      void this.keys.touch(row.id, now).catch(() => undefined);
    }
    return { id: row.id, fleet: row.fleetId, role: row.role as Role };
  }

  async create(
    fleet: string,
    input: { name: string; role: Role; expiresInDays?: number | undefined },
  ): Promise<ApiKey & { secret: string }> {
    const secret = `drover_${newSecret()}`;
    const expiresAt = input.expiresInDays === undefined ? null : new Date(Date.now() + input.expiresInDays * DAY_MS);
    const row = await this.database.transaction(async (tx) => {
      const created = await this.keys.create(tx, fleet, {
        ...newKey(secret),
        name: input.name,
        role: input.role,
        expiresAt,
      });
      await this.events.append(tx, { fleet, type: 'api-key.created', subject: created.id, data: { role: input.role } });
      return created;
    });
    return { ...toApiKey(row), secret };
  }

  /** Keys of the fleet; for the instance administrator also those that belong to none. */
  async list(
    { fleet, instance }: Pick<Caller, 'fleet' | 'instance'>,
    page: PageQuery,
  ): Promise<{ items: ApiKey[]; nextCursor: string | null }> {
    const { items, nextCursor } = await this.keys.list(fleet, instance, page);
    return { items: items.map(toApiKey), nextCursor };
  }

  /** @throws NotFoundError */
  async revoke({ fleet, instance }: Pick<Caller, 'fleet' | 'instance'>, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      if (!(await this.keys.revoke(tx, fleet, instance, id))) throw NotFoundError.of('API key', id);
      await this.events.append(tx, { fleet, type: 'api-key.revoked', subject: id });
    });
  }

  /**
   * The instance administrator's key: made where there is none yet, or another one where `another` asks for it.
   *
   * @returns its secret, to be shown once; undefined where there was one already
   */
  async ensureInstanceKey(another: boolean): Promise<string | undefined> {
    const secret = `drover_${newSecret()}`;
    return this.database.transaction(async (tx) => {
      if (!another && (await this.keys.countInstanceKeys(tx)) > 0) return undefined;
      await this.keys.create(tx, null, {
        ...newKey(secret),
        name: 'instance administrator',
        role: 'admin',
        expiresAt: null,
      });
      return secret;
    });
  }
}

function newKey(secret: string): { id: string; prefix: string; hash: Uint8Array<ArrayBuffer> } {
  return { id: newId('key'), prefix: secret.slice(0, 13), hash: hashOf(secret) };
}

function hashOf(secret: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(secret).digest());
}
