import type { WindowSpec } from './window-builder.ts';

/** How samples that arrive faster than the rate become one. */
export type Resampling = 'mean' | 'last' | 'min' | 'max' | 'sum';

export interface SignatureChannel {
  readonly name: string;
  readonly unit?: string | undefined;
  readonly kind: 'numeric' | 'categorical';
  readonly resampling: Resampling;
}

/** What a detector expects of its input; structurally the manifest's signature. */
export interface DetectorSignature {
  readonly channels: readonly SignatureChannel[];
  /** Samples per second. */
  readonly rateHz: number;
  readonly window: number;
  readonly stride: number;
  /** Windows after a start or reset whose scores are not acted on. */
  readonly warmup: number;
  readonly maxGapMs: number;
  /** When `state.*` inputs start from zeros again. */
  readonly stateReset: 'never' | 'gap';
}

/** @param masked whether the graph takes a mask, so that a channel may stay away */
export function windowSpecOf(signature: DetectorSignature, masked: boolean): WindowSpec {
  return {
    channelCount: signature.channels.length,
    window: signature.window,
    stride: signature.stride,
    warmup: signature.warmup,
    maxGapMs: signature.maxGapMs,
    stale: masked ? 'mask' : 'restart',
  };
}
