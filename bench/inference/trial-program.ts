import { messageOf } from '@drover/runtime';
import { autoencoderModel, pumpModel } from './trial-models.ts';
import { measurePairs } from './trial.ts';
import type { Pair, TrialOptions } from './trial.ts';

/** Runs in a process of its own, with the agent's settings. */
export interface ModelTrials {
  readonly model: string;
  readonly description: string;
  /** Of each trial asked for. */
  readonly trials: readonly (readonly Pair[])[];
}

export type TrialAnswer = { readonly results: readonly ModelTrials[] } | { readonly failure: string };

async function run(trials: readonly TrialOptions[]): Promise<ModelTrials[]> {
  const results: ModelTrials[] = [];
  for (const model of [await pumpModel(), autoencoderModel(Math.random)]) {
    const { window, channels } = model.spec.signature;
    results.push({
      model: model.name,
      description: `${model.name} ${Math.round(model.sizeBytes / 1_000)} kB, window ${window} × ${channels.length}`,
      trials: await measurePairs(model, trials),
    });
  }
  return results;
}

function answer(value: TrialAnswer): void {
  process.send!(value, () => process.disconnect());
}

process.once('message', (trials: readonly TrialOptions[]) => {
  run(trials).then(
    (results) => answer({ results }),
    (error: unknown) => answer({ failure: messageOf(error) }),
  );
});
