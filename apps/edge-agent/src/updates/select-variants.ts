import type { DesiredPipeline, Manifest, Variant } from '@drover/contracts';
import { NoCandidateError, SignatureMismatchError } from './update-errors.ts';

/** What a device has to offer to a model. */
export interface Offer {
  /** Channels of the pipeline's sensor. */
  readonly channels: readonly string[];
  readonly memoryBytes: number;
}

/**
 * The candidates of a target that can run on this device, the server's preference first.
 *
 * @throws SignatureMismatchError where the sensor lacks a channel; NoCandidateError where nothing fits
 */
export function selectVariants(manifest: Manifest, target: DesiredPipeline, offer: Offer): Variant[] {
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
  const fitting = named.filter((variant) => (variant.minMemoryBytes ?? 0) <= offer.memoryBytes);
  if (fitting.length === 0) {
    throw new NoCandidateError(
      `Every variant offered needs more memory than the ${Math.round(offer.memoryBytes / 2 ** 20)} MiB that this device has`,
    );
  }
  return fitting;
}

export interface Measured {
  readonly variant: string;
  readonly p50Us: number;
}

/** A candidate must be this much faster to be taken before one that the server prefers: less is noise. */
const CLEARLY_FASTER = 0.9;

/** The variant to run: the server's preference, unless another is clearly faster on this device. @param measured by preference */
export function fastest(measured: readonly Measured[]): Measured {
  return measured.reduce((best, next) => (next.p50Us < best.p50Us * CLEARLY_FASTER ? next : best));
}
