import { Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown } from '@nestjs/common';
import { BoundedCache } from './bounded-cache.ts';
import { IngestIdsRepository } from './ingest-ids.repository.ts';
import { patiently } from './patience.ts';

/** Devices whose keys are remembered: some kilobytes each. */
const DEVICES = 16_384;
/** Per device; a device that changes its boot or its channels more often than that only costs queries. */
const BOOTS = 4;
const STREAMS = 64;
const PATIENCE_MS = 5_000;

interface StreamKey {
  readonly channels: readonly string[];
  readonly id: number;
}

interface DeviceKeys {
  readonly boots: BoundedCache<number>;
  readonly streams: BoundedCache<StreamKey[]>;
}

/**
 * Integer keys of boots and streams, remembered. `known…` answers at once or not at all; `find…` asks the database, once for all
 * who ask at the same time.
 */
@Injectable()
export class IngestIds implements BeforeApplicationShutdown {
  readonly #stopping = new AbortController();
  readonly #patience = { patienceMs: PATIENCE_MS, signal: this.#stopping.signal };
  #devices = new BoundedCache<DeviceKeys>(DEVICES);
  #generation = 0;
  readonly #asking = new Map<string, Promise<number | undefined>>();

  constructor(private readonly repository: IngestIdsRepository) {}

  /** Rises when everything was forgotten: keys that were found before may not be used any more. */
  get generation(): number {
    return this.#generation;
  }

  knownBoot(device: string, bootId: string): number | undefined {
    return this.#devices.get(device)?.boots.get(bootId);
  }

  knownStream(device: string, name: string, channels: readonly string[]): number | undefined {
    const candidates = this.#devices.get(device)?.streams.get(name);
    if (candidates === undefined) return undefined;
    for (const candidate of candidates) if (sameNames(candidate.channels, channels)) return candidate.id;
    return undefined;
  }

  /** `undefined` where the fleet has no such device. */
  findBoot(fleet: string, device: string, bootId: string): Promise<number | undefined> {
    const known = this.knownBoot(device, bootId);
    if (known !== undefined) return Promise.resolve(known);
    return this.#ask(`b ${device} ${bootId}`, async (keys) => {
      const id = await this.repository.bootId(fleet, device, bootId);
      if (id !== undefined) keys(device).boots.set(bootId, id);
      return id;
    });
  }

  /** `undefined` where the fleet has no such device, or the device has too many streams. */
  findStream(fleet: string, device: string, name: string, channels: readonly string[]): Promise<number | undefined> {
    const known = this.knownStream(device, name, channels);
    if (known !== undefined) return Promise.resolve(known);
    return this.#ask(`s ${device} ${name} ${JSON.stringify(channels)}`, async (keys) => {
      const id = await this.repository.streamId(fleet, device, name, channels);
      if (id === undefined) return undefined;
      const { streams } = keys(device);
      // The newest first, so that a device that changed its channels is found at once.
      streams.set(name, [{ channels, id }, ...(streams.get(name) ?? [])].slice(0, STREAMS));
      return id;
    });
  }

  beforeApplicationShutdown(): void {
    this.#stopping.abort();
  }

  /** After the connection was lost: it may be another database, restored from a backup, that answers next. */
  forget(): void {
    this.#generation += 1;
    this.#devices = new BoundedCache(DEVICES);
  }

  #ask(
    key: string,
    query: (keys: (device: string) => DeviceKeys) => Promise<number | undefined>,
  ): Promise<number | undefined> {
    const asked = this.#asking.get(key);
    if (asked !== undefined) return asked;
    const devices = this.#devices;
    const answer = patiently(this.#patience, () => query((device) => keysOf(devices, device))).finally(() =>
      this.#asking.delete(key),
    );
    this.#asking.set(key, answer);
    return answer;
  }
}

function keysOf(devices: BoundedCache<DeviceKeys>, device: string): DeviceKeys {
  let keys = devices.get(device);
  if (keys === undefined) {
    keys = { boots: new BoundedCache(BOOTS), streams: new BoundedCache(STREAMS) };
    devices.set(device, keys);
  }
  return keys;
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
