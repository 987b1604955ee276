import { Backoff, messageOf } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnModuleInit } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { DeviceIdentity } from '../../../platform/broker/device-identity.ts';
import { NoticeListener } from '../../../platform/database/listener.ts';
import { KeyStore } from '../../../platform/keys/key-store.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { CLOCK } from '../clock.ts';
import { AuthorityRepository, KEYS_CHANNEL } from './authority.repository.ts';
import { CertificateAuthority } from './certificate-authority.service.ts';
import { isFit, renewalDueAt, serverCertificateSchema, serverHosts, serverSecretName } from './server-certificate.ts';
import type { ServerCertificate, Wanted } from './server-certificate.ts';

const LOOK_AT_LEAST_EVERY_MS = 3_600_000;
const LOOK_AT_MOST_EVERY_MS = 50;

/**
 * Keeps the server's own certificate valid and gives it, with the accepted authorities, to the listeners: at start, when it is
 * renewed, and when another process has made a new one. Connections that exist go on.
 */
@Injectable()
export class TlsMaterialService implements OnModuleInit, BeforeApplicationShutdown {
  readonly #backoff = new Backoff(1_000, 60_000);
  #timer: NodeJS.Timeout | undefined;
  #endNotices: (() => void) | undefined;
  #refreshing: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(
    private readonly authority: CertificateAuthority,
    private readonly authorities: AuthorityRepository,
    private readonly keys: KeyStore,
    private readonly identity: DeviceIdentity,
    private readonly listener: NoticeListener,
    private readonly config: Config,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.refresh();
    this.#endNotices = this.listener.on(KEYS_CHANNEL, () => void this.#attempt());
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopped = true;
    this.#endNotices?.();
    clearTimeout(this.#timer);
    await this.#refreshing.catch(() => undefined);
  }

  /** Renews what is due and tells the listeners of what has changed. One at a time. */
  refresh(): Promise<void> {
    const next = this.#refreshing.catch(() => undefined).then(() => this.#refresh());
    this.#refreshing = next;
    return next;
  }

  async #attempt(): Promise<void> {
    if (this.#stopped) return;
    try {
      await this.refresh();
    } catch (error) {
      if (this.#stopped) return;
      this.logger.warn({ err: messageOf(error) }, "The server's certificate could not be looked after; trying again");
      this.#schedule(this.#backoff.next());
    }
  }

  async #refresh(): Promise<void> {
    await this.authority.refresh();
    const { DROVER_PUBLIC_HOSTS, DROVER_SERVER_CERTIFICATE_LIFETIME: lifetimeMs } = this.config.device;
    const { id, pem } = this.authority.serving;
    const wanted = { hosts: serverHosts(DROVER_PUBLIC_HOSTS), authority: id, lifetimeMs };
    const server = await this.#serverCertificate(wanted);
    this.#publish({ key: server.key, cert: `${server.certificate}${pem}`, ca: this.authority.accepted });
    this.#backoff.reset();
    const due = Math.min(renewalDueAt(server, lifetimeMs), this.authority.nextChangeAt);
    this.#schedule(due - this.clock.now());
  }

  async #serverCertificate(wanted: Wanted): Promise<ServerCertificate> {
    const name = serverSecretName(wanted.hosts);
    const stored = await this.#read(name);
    if (isFit(stored, wanted, this.clock.now())) return stored;
    return this.authorities.alone(async (tx) => {
      const present = await this.#read(name);
      if (isFit(present, wanted, this.clock.now())) return present;
      const { key, pem, issuedAt, expiresAt } = await this.authority.issueForServer(wanted.hosts, wanted.lifetimeMs);
      const made: ServerCertificate = {
        hosts: [...wanted.hosts],
        authority: wanted.authority,
        key,
        certificate: pem,
        issuedAt: issuedAt.getTime(),
        expiresAt: expiresAt.getTime(),
      };
      await this.authorities.forgetSecret(tx, name);
      await this.keys.storeSecret(tx, name, Buffer.from(JSON.stringify(made)));
      await this.authorities.announce(tx);
      this.logger.info({ hosts: wanted.hosts, expiresAt: expiresAt.toISOString() }, "Issued the server's certificate");
      return made;
    });
  }

  async #read(name: string): Promise<ServerCertificate | null> {
    if (!(await this.authorities.hasSecret(name))) return null;
    return serverCertificateSchema.parse(JSON.parse((await this.keys.secret(name)).toString('utf8')));
  }

  #published = '';
  #publish(material: { key: string; cert: string; ca: string[] }): void {
    const text = JSON.stringify(material);
    if (text === this.#published) return;
    this.#published = text;
    this.identity.setMaterial(material);
  }

  #schedule(inMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    const delay = Math.min(Math.max(inMs, LOOK_AT_MOST_EVERY_MS), LOOK_AT_LEAST_EVERY_MS);
    this.#timer = setTimeout(() => void this.#attempt(), delay);
    this.#timer.unref();
  }
}
