import { encodeModel } from '@drover/onnx';
import type { TrainedDetector } from '../detector.ts';
import { UnsupportedGraphError } from '../errors.ts';
import type { Normaliser } from '../pca/pca-model.ts';
import { denseLayers } from './dense-ae.ts';
import { ERROR_TERMS } from './error-terms.ts';
import { initialLayers, parameterCount } from './layer-shape.ts';
import type { LayerShape } from './layer-shape.ts';
import { buildReconstructionGraph } from './reconstruction-graph.ts';

/** A student's file is at most this much of its teacher's. */
const MOST_SIZE = 1 / 10;
const WIDEST = 64;
/** A narrower network than this reconstructs nothing. */
const NARROWEST = 2;
/** From this width on there is a code in the middle. */
const CODED_WIDTH = 16;

/** @throws UnsupportedGraphError where a tenth of the teacher's file has no room for a network */
export function studentLayers({ family, graph, trainedOn }: TrainedDetector, normaliser: Normaliser): LayerShape[] {
  const { window, channels } = trainedOn;
  const most = encodeModel(graph).length * MOST_SIZE;
  const weights = new Float64Array(ERROR_TERMS * channels);
  for (let width = WIDEST; width >= NARROWEST; width -= 1) {
    const hidden = width >= CODED_WIDTH ? [width, Math.ceil(width / 4), width] : [width];
    const candidate = denseLayers(window * channels, hidden);
    if (parameterCount(candidate) * Float32Array.BYTES_PER_ELEMENT > most) continue;
    const layers = initialLayers(candidate, () => 0);
    const built = buildReconstructionGraph(`${family}-reconstruction`, { layers, normaliser }, weights, trainedOn);
    if (encodeModel(built).length <= most) return candidate;
  }
  throw new UnsupportedGraphError(`A tenth of this ${family} model is too small to be a network.`);
}
