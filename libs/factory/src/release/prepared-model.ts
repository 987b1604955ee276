import type { Channel, ModelCard } from '@drover/contracts';
import type { Trial } from '../evaluation/trial.ts';
import type { VariantSource } from './made-variant.ts';

/** A model and all that its variants are made and measured with; where it came from is behind it. */
export interface PreparedModel extends VariantSource {
  readonly channels: readonly Channel[];
  /** False where there is no normal operation to calibrate with: only what needs no data can be made. */
  readonly calibrated: boolean;
  readonly trial: Trial;
  readonly data: Pick<ModelCard['data'], 'trainedOn' | 'evaluatedOn'>;
  /** Sentences for the card. */
  readonly limits: readonly string[];
}

/** A recording as the card names it. */
export function nameOf({ name }: { readonly name?: string }, index: number): string {
  return (name ?? `recording ${index + 1}`).slice(0, 200);
}
