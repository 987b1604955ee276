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
/** A code between narrower layers than this would be nothing. */
const CODED_WIDTH = 16;

/**
 * Networks that fit into a tenth of the teacher's file, each as wide as possible: one layer without Relu, one with it, and
 * where there is room two with a code between them.
 *
 * @throws UnsupportedGraphError where there is no room for a network
 */
export function studentCandidates(teacher: TrainedDetector, normaliser: Normaliser): readonly LayerShape[][] {
  const { window, channels } = teacher.trainedOn;
  const size = window * channels;
  const kinds: ((width: number) => LayerShape[])[] = [
    (width) => denseLayers(size, [width]),
    (width) =>
      denseLayers(size, [width]).map((layer, index) => (index === 0 ? { ...layer, activation: 'relu' } : layer)),
    (width) => denseLayers(size, [width, Math.ceil(width / 4), width]),
  ];
  const least = [NARROWEST, NARROWEST, CODED_WIDTH];
  const found = kinds.flatMap((kind, index) => {
    for (let width = WIDEST; width >= least[index]!; width -= 1) {
      if (fits(kind(width), teacher, normaliser)) return [kind(width)];
    }
    return [];
  });
  if (found.length > 0) return found;
  throw new UnsupportedGraphError(`A tenth of this ${teacher.family} model is too small to be a network.`);
}

function fits(
  candidate: readonly LayerShape[],
  { family, graph, trainedOn }: TrainedDetector,
  normaliser: Normaliser,
): boolean {
  const most = encodeModel(graph).length * MOST_SIZE;
  if (parameterCount(candidate) * Float32Array.BYTES_PER_ELEMENT > most) return false;
  const layers = initialLayers(candidate, () => 0);
  const weights = new Float64Array(ERROR_TERMS * trainedOn.channels);
  const built = buildReconstructionGraph(`${family}-reconstruction`, { layers, normaliser }, weights, trainedOn);
  return encodeModel(built).length <= most;
}
