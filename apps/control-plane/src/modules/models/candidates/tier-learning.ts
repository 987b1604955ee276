import { createHash } from 'node:crypto';

/** What a tier learns from what its devices measured. Pure. */

/** Devices of one tier that measured the same variants of a release and chose the same. */
export interface MeasuredGroup {
  readonly variants: readonly string[];
  readonly chosen: string;
  readonly devices: number;
}

/** Fewer devices that agree prove nothing. */
const MIN_DEVICES = 2;

/**
 * The variant that devices of a tier took after they had measured all of `candidates`: at least two agree, and more than half of
 * those that measured them all. Null where too few have measured, or they disagree.
 */
export function learnedVariant(candidates: readonly string[], groups: readonly MeasuredGroup[]): string | null {
  const votes = new Map<string, number>();
  let total = 0;
  for (const { variants, chosen, devices } of groups) {
    // Who chose something else than these, or did not see them all, says nothing of which of them is best.
    if (!candidates.includes(chosen) || !candidates.every((name) => variants.includes(name))) continue;
    votes.set(chosen, (votes.get(chosen) ?? 0) + devices);
    total += devices;
  }
  for (const [variant, count] of votes) if (count >= MIN_DEVICES && count * 2 > total) return variant;
  return null;
}

/**
 * Whether a device measures all candidates though its tier has learned. The same device and release always give the same answer.
 *
 * @param share of the devices, 0 to 1
 */
export function isSampled(device: string, release: string, share: number): boolean {
  const hash = createHash('sha256').update(`${device}\n${release}`).digest();
  return hash.readUInt32BE(0) / 2 ** 32 < share;
}
