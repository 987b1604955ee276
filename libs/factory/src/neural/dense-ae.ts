import type { Family } from '../detector.ts';
import { channelsOf, windowsOf } from '../window-set.ts';
import type { LayerShape } from './layer-shape.ts';
import { DEFAULT_NEURAL_OPTIONS, refuseImpossibleOptions } from './neural-options.ts';
import type { NeuralOptions } from './neural-options.ts';
import { trainReconstruction } from './reconstruction-detector.ts';

export interface DenseAeOptions extends NeuralOptions {
  /** Neurons of each layer between the window and its reconstruction; the smallest is the code and has no Relu. */
  readonly hidden: readonly number[];
}

export const DEFAULT_DENSE_AE_OPTIONS: DenseAeOptions = { ...DEFAULT_NEURAL_OPTIONS, hidden: [64, 16, 64] };

const USUAL_WINDOW = 16;
/** W × C of the window that is chosen where none is asked for. */
const MOST_INPUTS = 1_024;

/** Dense autoencoder on windows. */
export const denseAe: Family<DenseAeOptions> = {
  name: 'dense-ae',
  summary: 'dense autoencoder of windows: small and fast, finds relations between channels that are not linear',
  defaults: DEFAULT_DENSE_AE_OPTIONS,
  train({ recordings, window, stride, rateHz, maxGapMs }, partial, context) {
    const options = { ...DEFAULT_DENSE_AE_OPTIONS, ...partial };
    refuseImpossibleOptions(options, { hidden: options.hidden });
    const channels = channelsOf(recordings).length;
    const usual = Math.max(1, Math.min(USUAL_WINDOW, Math.floor(MOST_INPUTS / channels)));
    const shape = { window: window ?? usual, stride, rateHz, maxGapMs };
    const set = windowsOf(recordings, shape, undefined, options.maxWindows);
    const layers = denseLayers(shape.window * channels, options.hidden);
    return trainReconstruction('dense-ae', set, shape, layers, options, context);
  },
};

/** Layers from an input through the hidden ones back to as many values. */
export function denseLayers(size: number, hidden: readonly number[]): LayerShape[] {
  const code = hidden.indexOf(Math.min(...hidden));
  return [...hidden, size].map((outputs, index) => ({
    kind: 'dense',
    inputs: hidden[index - 1] ?? size,
    outputs,
    activation: index === code || index === hidden.length ? 'linear' : 'relu',
  }));
}
