import type { DroverClient } from '@drover/client';
import { api } from '@drover/contracts';
import type { BenchmarkRecord, Device, Release } from '@drover/contracts';

/** What one board was offered of a release, measured of it, and took. */
export interface DemoChoice {
  readonly device: string;
  readonly tier: string;
  readonly simulated: boolean;
  readonly candidates: readonly {
    readonly variant: string;
    readonly sizeBytes: number;
    /** Bare runs on this machine, microseconds. */
    readonly p50Us: number;
    readonly p99Us: number;
    readonly memoryBytes: number | null;
    readonly chosen: boolean;
    readonly reason: string | null;
  }[];
}

/** The newest measurement of each variant, per device, in the order in which they were made. */
export async function choicesOf(
  client: DroverClient,
  releases: readonly Release[],
  devices: readonly Device[],
): Promise<DemoChoice[]> {
  const choices: DemoChoice[] = [];
  for (const release of releases) {
    const sizes = new Map(release.variants.map(({ name, sizeBytes }) => [name, sizeBytes]));
    for (const device of devices) {
      const newest = new Map<string, BenchmarkRecord>();
      for await (const record of client.all(api.benchmarks.list, {
        query: { release: release.id, device: device.id },
      })) {
        if (!newest.has(record.variant)) newest.set(record.variant, record);
      }
      if (newest.size === 0) continue;
      choices.push({
        device: device.name,
        tier: device.tier,
        simulated: device.profile.simulated,
        candidates: [...newest.values()].toReversed().map(({ variant, p50Us, p99Us, memoryBytes, chosen, reason }) => ({
          variant,
          sizeBytes: sizes.get(variant) ?? 0,
          p50Us: Math.round(p50Us),
          p99Us: Math.round(p99Us),
          memoryBytes,
          chosen,
          reason,
        })),
      });
    }
  }
  return choices;
}
