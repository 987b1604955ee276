import type { ArtifactRef, DesiredPipeline, Manifest, Variant } from '@drover/contracts';
import { NoCandidateError, SignatureMismatchError } from './update-errors.ts';
import type { DroppedCandidate } from './update-records.ts';

/** What a device has to offer to a model. */
export interface Offer {
  /** Channels of the pipeline's sensor. */
  readonly channels: readonly string[];
  /** Memory of the (perhaps simulated) board. */
  readonly memoryBytes: number;
}

export interface Selection {
  /** The server's preference first. */
  readonly fitting: readonly Variant[];
  readonly dropped: readonly DroppedCandidate[];
}

/** What of a board's memory one more model may take: the rest is the system's, the agent's, and the model's that serves. */
const MODEL_SHARE = 0.5;

/** Memory that a model may take on a board. */
export function modelMemory(memoryBytes: number): number {
  return memoryBytes * MODEL_SHARE;
}

/**
 * The candidates of a target that can run on this device.
 *
 * @throws SignatureMismatchError where the sensor lacks a channel; NoCandidateError where nothing fits
 */
export function selectVariants(manifest: Manifest, target: DesiredPipeline, offer: Offer): Selection {
  const missing = manifest.signature.channels.map(({ name }) => name).filter((name) => !offer.channels.includes(name));
  if (missing.length > 0) {
    throw new SignatureMismatchError(
      `The model needs ${missing.map((name) => `"${name}"`).join(', ')}; the sensor has ${offer.channels.map((name) => `"${name}"`).join(', ')}`,
    );
  }
  const named = target.candidates.flatMap((name) => manifest.variants.find((variant) => variant.name === name) ?? []);
  if (named.length === 0) {
    throw new NoCandidateError(`The manifest has none of the variants offered (${target.candidates.join(', ')})`);
  }
  const fitting = named.filter((variant) => fitsMemory(variant, offer.memoryBytes));
  if (fitting.length === 0) {
    throw new NoCandidateError(
      `Every variant offered needs more memory than the ${Math.round(offer.memoryBytes / 2 ** 20)} MiB that this device has`,
    );
  }
  const dropped = named
    .filter((variant) => !fitting.includes(variant))
    .map(({ name }): DroppedCandidate => ({ variant: name, reason: 'no-candidate', message: TOO_MUCH_MEMORY }));
  return { fitting, dropped };
}

export const TOO_MUCH_MEMORY = 'needs more memory than there is';
export const NO_ROOM = 'no room for it on the disk';

/** While a model is loaded, its file and what it unpacks to are in memory at the same time. */
function fitsMemory({ minMemoryBytes = 0, cost, artifacts }: Variant, memoryBytes: number): boolean {
  const fileBytes = artifacts.reduce((sum, artifact) => sum + artifact.sizeBytes + unpackedBytes(artifact), 0);
  return minMemoryBytes <= memoryBytes && (cost?.peakMemoryBytes ?? 0) + fileBytes <= modelMemory(memoryBytes);
}

function unpackedBytes({ encoding, decodedSizeBytes = 0 }: ArtifactRef): number {
  return encoding === 'identity' ? 0 : decodedSizeBytes;
}

/**
 * Those that fit on the disk together, the preferred first.
 *
 * @param missingBytes per candidate, what has to be fetched for it
 */
export function fitDisk<T>(candidates: readonly T[], missingBytes: (candidate: T) => number, roomBytes: number): T[] {
  let left = roomBytes;
  return candidates.filter((candidate) => {
    const bytes = missingBytes(candidate);
    if (bytes > left) return false;
    left -= bytes;
    return true;
  });
}
