import type { HardwareProfile } from '@drover/contracts';
import { ServerFailedError, ServerUnreachableError, enrol, renew, renewalDueAt } from '@drover/device-protocol';
import type { DeviceIdentity } from '@drover/device-protocol';
import { Backoff, CallerError, DroverError, messageOf, sleep } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import type { AgentConfig } from '../config/agent-config.schema.ts';
import { DecommissionedError } from './identity.store.ts';
import type { IdentityStore } from './identity.store.ts';

/** There is no identity and no way to get one. */
export class EnrolmentImpossibleError extends CallerError {}

export interface EnrolmentParts {
  readonly config: AgentConfig;
  readonly store: IdentityStore;
  readonly profile: () => Promise<HardwareProfile>;
  readonly logger: Logger;
  readonly clock: Clock;
}

const RETRY_BASE_MS = 1_000;
const RETRY_CAP_MS = 60_000;
/** Timers cannot wait for months, and a machine that slept must notice: due times are looked at this often. */
const RENEWAL_CHECK_MS = 60_000;
/** Between two looks, also at a certificate that lives for moments only. */
const RENEWAL_LEAST_MS = 1_000;
const RENEWAL_RETRY_CAP_MS = 3_600_000;

/** Gets a device its identity on the first start, and a new certificate before the old one ends. */
export class EnrolmentService {
  readonly #parts: EnrolmentParts;

  constructor(parts: EnrolmentParts) {
    this.#parts = parts;
  }

  /**
   * The identity from disk or, on the first start, from the server; a server that is not there yet is tried again for as
   * long as it takes.
   *
   * @throws DecommissionedError, EnrolmentImpossibleError; what the server refuses (RequestRefusedError, ServerUntrustedError)
   */
  async identity(signal: AbortSignal): Promise<DeviceIdentity> {
    const { store, config } = this.#parts;
    const known = await store.load();
    if (known !== null) return known;
    const farewell = await store.farewell();
    if (farewell !== null) {
      throw new DecommissionedError(
        `This device (${farewell.device}) was decommissioned at ${farewell.at} and has erased itself. To use it again, enrol it with "drover-agent enrol --re-enrol --url https://… --token …"`,
      );
    }
    const missing = [
      ...(config.url === undefined ? ['DROVER_URL'] : []),
      ...(config.token === undefined ? ['DROVER_TOKEN'] : []),
    ];
    if (missing.length > 0) {
      throw new EnrolmentImpossibleError(
        `This device is not enrolled yet and ${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not set. ` +
          'Make a token with "drover enrolment-tokens create" and start once with DROVER_URL=https://<control plane>:8443 DROVER_TOKEN=<token>',
      );
    }
    return this.enrol(signal);
  }

  /** A new identity, whatever there was before. */
  async enrol(signal: AbortSignal): Promise<DeviceIdentity> {
    const { config, store, logger } = this.#parts;
    const profile = await this.#parts.profile();
    const backoff = new Backoff(RETRY_BASE_MS, RETRY_CAP_MS);
    for (;;) {
      try {
        const identity = await enrol({
          url: config.url!,
          token: config.token!,
          profile,
          name: config.name,
          tags: config.tags,
          pipelines: Object.keys(config.pipelines),
          signal,
        });
        await store.save(identity);
        logger.info({ fleet: identity.fleet, device: identity.device, epoch: identity.epoch }, 'enrolled');
        return identity;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServerUnreachableError || error instanceof ServerFailedError)) throw error;
        const delayMs = backoff.next();
        logger.warn({ url: config.url, retryInMs: Math.round(delayMs) }, `not enrolled yet: ${messageOf(error)}`);
        await sleep(delayMs, signal);
      }
    }
  }

  /**
   * Renews the certificate whenever two thirds of its life are over, until the signal aborts. A refusal (a revoked
   * certificate) and a server that is away are the same here: try again, more and more slowly.
   *
   * @param current the identity of now
   * @param onRenewed takes the new identity into use; it is on disk already
   */
  async keepRenewed(
    current: () => DeviceIdentity,
    onRenewed: (identity: DeviceIdentity) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const backoff = new Backoff(RENEWAL_CHECK_MS, RENEWAL_RETRY_CAP_MS);
    while (!signal.aborted) {
      const untilDueMs = renewalDueAt(current().certificate) - this.#parts.clock.now();
      // Looked at now and then although it is not due: the clock of a board may jump.
      let delayMs = Math.min(Math.max(untilDueMs, RENEWAL_LEAST_MS), RENEWAL_CHECK_MS);
      if (untilDueMs <= 0) {
        try {
          onRenewed(await this.renew(current(), signal));
          backoff.reset();
        } catch (error) {
          if (signal.aborted) return;
          delayMs = backoff.next();
          const code = error instanceof DroverError ? error.code : 'unknown';
          this.#parts.logger.warn({ code }, `the certificate was not renewed: ${messageOf(error)}`);
        }
      }
      await sleep(delayMs, signal).catch(() => undefined);
    }
  }

  /** A new certificate for an identity, on disk when this returns. */
  async renew(identity: DeviceIdentity, signal: AbortSignal): Promise<DeviceIdentity> {
    const renewed = await renew(identity, { profile: await this.#parts.profile(), signal });
    await this.#parts.store.save(renewed);
    this.#parts.logger.info({ device: renewed.device }, 'certificate renewed');
    return renewed;
  }
}
