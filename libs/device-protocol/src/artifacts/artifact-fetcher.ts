import { join } from 'node:path';
import { digestSchema } from '@drover/contracts';
import { Backoff, InvalidInputError, makePrivateFolder, messageOf, silentLogger, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import type { DeviceConnection } from '../connection/device-connection.ts';
import {
  ArtifactUnavailableError,
  DigestMismatchError,
  DownloadFailedError,
  NoSpaceError,
  SizeMismatchError,
} from '../errors.ts';
import { isComplete, PartFile } from './part-file.ts';
import { HttpsSource } from './https-source.ts';
import type { HttpsSourceOptions } from './https-source.ts';
import { MqttSource } from './mqtt-source.ts';
import type { MqttSourceOptions } from './mqtt-source.ts';
import type { ArtifactSource } from './source.ts';

export interface ArtifactFetcherOptions {
  /** Where artifacts are kept, `<folder>/<digest>`. */
  readonly folder: string;
  readonly connection: DeviceConnection;
  readonly mqtt?: MqttSourceOptions;
  /** `false` where a site lets only MQTT through. */
  readonly https?: HttpsSourceOptions | false;
  /** Larger artifacts are fetched over HTTPS first, others over MQTT; each is the other's fallback. 0: always HTTPS first. */
  readonly mqttMaxBytes?: number;
  /** Space that is left free on the disk whatever comes. */
  readonly reserveBytes?: number;
  /** How often both ways are tried, while connected, without a byte of progress. */
  readonly attempts?: number;
  readonly backoff?: () => Backoff;
  readonly logger?: Logger;
}

export interface FetchRequest {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((receivedBytes: number, sizeBytes: number) => void) | undefined;
}

const DEFAULT_MQTT_MAX_BYTES = 32 * 2 ** 20;
const DEFAULT_RESERVE_BYTES = 64 * 2 ** 20;

/**
 * Brings artifacts into a folder, going on where an earlier try (or an earlier process) stopped. Two requests for the same
 * artifact share its way.
 */
export class ArtifactFetcher {
  readonly #options: ArtifactFetcherOptions;
  readonly #logger: Logger;
  readonly #mqtt: ArtifactSource;
  readonly #https: ArtifactSource | null;
  readonly #underWay = new Map<string, Promise<unknown>>();

  constructor(options: ArtifactFetcherOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    const { connection, mqtt, https } = options;
    this.#mqtt = new MqttSource(connection, mqtt);
    this.#https = https === false ? null : new HttpsSource(() => connection.identity, https);
  }

  /**
   * @returns the path of the complete, verified file
   * @throws NoSpaceError, SizeMismatchError, DigestMismatchError (the part is gone), DownloadFailedError (the part is kept),
   *   InvalidInputError, or the signal's reason
   */
  async fetch(request: FetchRequest): Promise<string> {
    if (!digestSchema.safeParse(request.digest).success) {
      throw new InvalidInputError(`"${request.digest}" is no digest`);
    }
    const before = this.#underWay.get(request.digest) ?? Promise.resolve();
    const turn = before.catch(() => undefined).then(() => this.#fetch(request));
    this.#underWay.set(request.digest, turn);
    try {
      return await orAborted(turn, request.signal);
    } finally {
      const ended = (): void => {
        if (this.#underWay.get(request.digest) === turn) this.#underWay.delete(request.digest);
      };
      turn.then(ended, ended);
    }
  }

  async #fetch(request: FetchRequest): Promise<string> {
    const { digest, sizeBytes } = request;
    const { folder } = this.#options;
    request.signal?.throwIfAborted();
    if (await isComplete(folder, digest, sizeBytes)) return join(folder, digest);
    await makePrivateFolder(folder);
    const part = new PartFile(folder, digest);
    await part.open();
    const resumedAt = part.size;
    try {
      if (part.size > sizeBytes) await part.truncate();
      await part.requireSpace(sizeBytes, this.#options.reserveBytes ?? DEFAULT_RESERVE_BYTES);
      await this.#receive(part, request);
      return await this.#complete(part, resumedAt, request);
    } catch (error) {
      if (error instanceof SizeMismatchError) await part.discard();
      throw error;
    } finally {
      await part.close();
    }
  }

  /** A part from an earlier process may have been damaged by whatever ended it: then all of it is fetched once more. */
  async #complete(part: PartFile, resumedAt: number, request: FetchRequest): Promise<string> {
    try {
      return await part.complete();
    } catch (error) {
      if (!(error instanceof DigestMismatchError) || resumedAt === 0) throw error;
      this.#logger.warn(
        { digest: request.digest, resumedAt },
        'the part kept from before was damaged: fetching all of it',
      );
      await part.open();
      await this.#receive(part, request);
      return await part.complete();
    }
  }

  /** While the device is offline it waits, as long as the caller's signal lets it: being offline is no failure. */
  async #receive(part: PartFile, request: FetchRequest): Promise<void> {
    const { connection, attempts = 4 } = this.#options;
    const backoff = this.#options.backoff?.() ?? new Backoff(500, 15_000);
    let failure: unknown;
    let fruitless = 0;
    while (part.size < request.sizeBytes) {
      if (fruitless >= attempts) {
        throw new DownloadFailedError(
          `${part.size} of ${request.sizeBytes} bytes came, then no way worked: ${messageOf(failure)}`,
          { cause: failure },
        );
      }
      if (fruitless > 0) await sleep(backoff.next(), request.signal);
      const before = part.size;
      for (const source of this.#sources(request.sizeBytes)) {
        if (part.size === request.sizeBytes) break;
        failure = await this.#tryOne(source, part, request);
      }
      if (part.size > before) {
        backoff.reset();
        fruitless = 0;
      } else if (connection.online) {
        fruitless += 1;
      } else {
        await connection.whenOnline(request.signal);
      }
    }
  }

  /** @returns why the source ended early; null where it did not */
  async #tryOne(source: ArtifactSource, part: PartFile, request: FetchRequest): Promise<unknown> {
    const { digest, sizeBytes, onProgress } = request;
    const signal = request.signal ?? new AbortController().signal;
    try {
      for await (const { offset, bytes } of source.read({ digest, sizeBytes, offset: part.size, signal })) {
        if (offset !== part.size) await part.truncate(offset);
        await part.append(bytes);
        onProgress?.(part.size, sizeBytes);
      }
      if (part.size === sizeBytes) return null;
      return new DownloadFailedError(`The transfer over ${source.name} ended at byte ${part.size} of ${sizeBytes}`);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof SizeMismatchError || error instanceof NoSpaceError) throw error;
      if (!(error instanceof ArtifactUnavailableError)) await part.sync();
      this.#logger.debug(
        { digest, source: source.name, at: part.size, reason: messageOf(error) },
        'transfer interrupted',
      );
      return error;
    }
  }

  #sources(sizeBytes: number): ArtifactSource[] {
    const { mqttMaxBytes = DEFAULT_MQTT_MAX_BYTES } = this.#options;
    if (this.#https === null) return [this.#mqtt];
    return sizeBytes > mqttMaxBytes ? [this.#https, this.#mqtt] : [this.#mqtt, this.#https];
  }
}

/** A caller that gives up does not wait for the turn of another one. */
function orAborted<T>(turn: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return turn;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    const done = (): void => signal.removeEventListener('abort', onAbort);
    turn.finally(done).then(resolve, reject);
  });
}
