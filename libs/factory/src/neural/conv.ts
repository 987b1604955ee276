import type { Family } from '../detector.ts';
import { InvalidTrainingOptionsError } from '../errors.ts';
import { channelsOf, windowsOf } from '../window-set.ts';
import { denseLayers } from './dense-ae.ts';
import { convLength } from './layer-shape.ts';
import type { LayerShape } from './layer-shape.ts';
import { DEFAULT_NEURAL_OPTIONS, refuseImpossibleOptions } from './neural-options.ts';
import type { NeuralOptions } from './neural-options.ts';
import { trainReconstruction } from './reconstruction-detector.ts';

export interface ConvOptions extends NeuralOptions {
  /** Filters of each convolution of the encoder; each halves the length. */
  readonly channels: readonly number[];
  /** Neurons of each dense layer after them; the smallest is the code and has no Relu. */
  readonly hidden: readonly number[];
}

export const DEFAULT_CONV_OPTIONS: ConvOptions = {
  ...DEFAULT_NEURAL_OPTIONS,
  folds: 3,
  channels: [32, 64],
  hidden: [16, 128],
};

const USUAL_WINDOW = 32;
const SHORTEST_WINDOW = 3;
/** W × C of the window that is chosen where none is asked for. */
const MOST_INPUTS = 4_096;
const STRIDE = 2;

/** Convolutions over time as encoder, dense layers as decoder. */
export const conv: Family<ConvOptions> = {
  name: 'conv',
  summary: 'convolutional autoencoder of longer windows: the large tier, and the teacher of small networks',
  defaults: DEFAULT_CONV_OPTIONS,
  train({ recordings, window, stride, rateHz, maxGapMs }, partial, context) {
    const options = { ...DEFAULT_CONV_OPTIONS, ...partial };
    refuseImpossibleOptions(options, { channels: options.channels, hidden: options.hidden });
    const width = channelsOf(recordings).length;
    const usual = Math.max(SHORTEST_WINDOW, Math.min(USUAL_WINDOW, Math.floor(MOST_INPUTS / width)));
    const shape = { window: window ?? usual, stride, rateHz, maxGapMs };
    const layers = convLayers(shape.window, width, options);
    const set = windowsOf(recordings, shape, undefined, options.maxWindows);
    return trainReconstruction('conv', set, shape, layers, options, context);
  },
};

/** @throws InvalidTrainingOptionsError when the window is too short to be halved that often */
function convLayers(window: number, width: number, { channels, hidden }: ConvOptions): LayerShape[] {
  let length = window;
  let inputs = width;
  const encoder = channels.map((outputs): LayerShape => {
    if (length < SHORTEST_WINDOW) {
      throw new InvalidTrainingOptionsError(
        `A window of ${window} samples is too short for ${channels.length} convolutions: use a longer one or fewer.`,
      );
    }
    // So that no sample is left over at the end, which is the newest.
    const kernel = length % 2 === 0 ? 4 : 3;
    const layer: LayerShape = { kind: 'conv1d', inputs, outputs, kernel, stride: STRIDE, activation: 'relu' };
    length = convLength(length, kernel, STRIDE);
    inputs = outputs;
    return layer;
  });
  return [...encoder, ...decoder(length * inputs, hidden, window * width)];
}

function decoder(inputs: number, hidden: readonly number[], outputs: number): LayerShape[] {
  const layers = denseLayers(inputs, hidden);
  return [...layers.slice(0, -1), { ...layers.at(-1)!, outputs }];
}
