import type { VariantKind } from '@drover/contracts';
import type { TrainedDetector } from '../detector.ts';
import { InvalidTrainingOptionsError } from '../errors.ts';

/** The family's name in a manifest whose model somebody else has trained. */
export const IMPORTED_FAMILY = 'imported';

/** A teacher smaller than this has no student worth the name. */
const SMALLEST_TEACHER_PARAMETERS = 20_000;

export interface PlannedKind {
  readonly kind: VariantKind;
  /** Asked for by name: that it cannot be made is an error, not a remark. */
  readonly asked: boolean;
}

/** Kinds that work on any graph of weights, without data but for their ranges. */
const GRAPH_KINDS: readonly VariantKind[] = ['fp16', 'int8', 'int8-dynamic', 'int4', 'sparse'];

/**
 * The kinds of variants to make, fp32 first. By default: of principal components and the like fp32 and int8; of a neural
 * network everything, a student only of a large one; of a model brought along all that needs no training.
 *
 * @throws InvalidTrainingOptionsError for a kind that was asked for and needs a network that the model does not have
 */
export function planKinds(
  detector: Pick<TrainedDetector, 'family' | 'network'>,
  asked?: readonly VariantKind[],
): readonly PlannedKind[] {
  if (asked !== undefined) {
    for (const kind of asked) {
      if ((kind === 'pruned' || kind === 'distilled') && detector.network === undefined) {
        throw new InvalidTrainingOptionsError(
          `${kind} variants need a neural network that was trained here; ${detector.family} has none.`,
        );
      }
    }
    const kinds = new Set<VariantKind>(['fp32', ...asked]);
    return [...kinds].map((kind) => ({ kind, asked: asked.includes(kind) }));
  }
  return defaultKinds(detector).map((kind) => ({ kind, asked: false }));
}

function defaultKinds({ family, network }: Pick<TrainedDetector, 'family' | 'network'>): VariantKind[] {
  if (family === IMPORTED_FAMILY) return ['fp32', ...GRAPH_KINDS];
  if (network === undefined) return ['fp32', 'int8'];
  const parameters = network.layers.reduce(
    (sum, layer) => sum + ('weights' in layer ? layer.weights.length + layer.bias.length : 0),
    0,
  );
  const teaches = family === 'conv' || parameters >= SMALLEST_TEACHER_PARAMETERS;
  return ['fp32', ...GRAPH_KINDS, 'pruned', ...(teaches ? (['distilled'] as const) : [])];
}
