import { KEY_PURPOSES } from '@drover/contracts';
import type { KeyPurpose, ResponseOf, api } from '@drover/contracts';
import { messageOf } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnModuleInit } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { NoticeListener } from '../../../platform/database/listener.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { NotFoundError } from '../../../platform/http/errors.ts';
import { KeyStore } from '../../../platform/keys/key-store.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { TwinService } from '../../devices/twin.service.ts';
import { AuthorityRepository, KEYS_CHANNEL } from '../authority/authority.repository.ts';
import { SigningKeyRepository } from './signing-key.repository.ts';

type KeysResource = ResponseOf<typeof api.keys.list>;

/**
 * Rotation of the signing keys. A new key is vouched for by the root beside the old one, which devices accept until it is
 * retired. Every device is sent its desired state again, signed anew, and with it the new key set.
 */
@Injectable()
export class SigningKeysService implements OnModuleInit, BeforeApplicationShutdown {
  #endNotices: (() => void) | undefined;

  constructor(
    private readonly database: Database,
    private readonly store: KeyStore,
    private readonly keys: SigningKeyRepository,
    private readonly authorities: AuthorityRepository,
    private readonly twins: TwinService,
    private readonly events: EventOutbox,
    private readonly listener: NoticeListener,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.#endNotices = this.listener.on(KEYS_CHANNEL, () => {
      this.store
        .reload()
        .catch((error: unknown) =>
          this.logger.warn({ err: messageOf(error) }, 'The signing keys could not be read again'),
        );
    });
  }

  beforeApplicationShutdown(): void {
    this.#endNotices?.();
  }

  async list(): Promise<KeysResource> {
    return { version: this.store.keySetVersion, rootKey: this.store.rootPublicKey, items: await this.keys.list() };
  }

  /** Makes a new key that signs from now on. @throws NotFoundError for a purpose that there is not */
  rotate(purpose: string): Promise<KeysResource> {
    return this.#change(purpose, 'rotated', (tx, known) => this.store.rotate(tx, known));
  }

  /** Withdraws all but the newest key of a purpose. @throws NotFoundError */
  retire(purpose: string): Promise<KeysResource> {
    return this.#change(purpose, 'retired', (tx, known) => this.store.retire(tx, known));
  }

  async #change(
    purpose: string,
    verb: 'rotated' | 'retired',
    change: (tx: Transaction, purpose: KeyPurpose) => Promise<void>,
  ): Promise<KeysResource> {
    const known = KEY_PURPOSES.find((one) => one === purpose);
    if (!known)
      throw new NotFoundError(`There are no keys for "${purpose}"; there are some for ${KEY_PURPOSES.join(', ')}.`);
    await this.database.transaction(async (tx) => {
      await change(tx, known);
      for (const fleet of await this.keys.fleets(tx))
        await this.events.append(tx, { fleet, type: `signing-key.${verb}`, subject: known });
      // A gateway that has not loaded the new key set yet does so before it signs.
      await this.twins.markAllForResend(tx);
      await this.authorities.announce(tx);
    });
    await this.store.reload();
    return this.list();
  }
}
