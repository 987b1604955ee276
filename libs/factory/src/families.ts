import { adaptive } from './adaptive/train-adaptive.ts';
import { auto } from './auto/train-auto.ts';
import { InvalidTrainingOptionsError } from './errors.ts';
import type { Family, TrainedDetector, TrainingContext, TrainingData } from './detector.ts';
import { mahalanobis } from './mahalanobis/train-mahalanobis.ts';
import { conv } from './neural/conv.ts';
import { denseAe } from './neural/dense-ae.ts';
import { pca } from './pca/train-pca.ts';
import { series } from './shape/train-series.ts';
import { shape } from './shape/train-shape.ts';
import { value } from './value/train-value.ts';
import { vectorAutoregression } from './var/train-var.ts';

/** Every family, in the order in which they are shown. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  auto,
  pca,
  mahalanobis,
  var: vectorAutoregression,
  adaptive,
  'dense-ae': denseAe,
  conv,
  shape,
  value,
  series,
};

/** A model family and its hyperparameters; what is left out is the family's default. */
export interface FamilySpec {
  readonly name: string;
  readonly options?: Readonly<Record<string, unknown>>;
}

/** @throws InvalidTrainingOptionsError for a family or an option that does not exist; as the family's `train` */
export async function trainFamily(
  { name, options = {} }: FamilySpec,
  data: TrainingData,
  context: TrainingContext,
): Promise<TrainedDetector> {
  const family = Object.hasOwn(FAMILIES, name) ? FAMILIES[name] : undefined;
  if (family === undefined) {
    throw new InvalidTrainingOptionsError(
      `There is no model family "${name}"; there are ${Object.keys(FAMILIES).join(', ')}.`,
    );
  }
  refuseUnknown(name, options, family.defaults);
  return family.train(data, options, context);
}

/** A misspelt option would be as good as none, and nobody would know. */
function refuseUnknown(name: string, options: Readonly<Record<string, unknown>>, defaults: object): void {
  for (const [option, given] of Object.entries(options)) {
    if (!Object.hasOwn(defaults, option)) {
      const known = Object.keys(defaults).toSorted().join(', ');
      throw new InvalidTrainingOptionsError(`The family "${name}" has no option "${option}"; it has ${known}.`);
    }
    const usual = kindOf((defaults as Readonly<Record<string, unknown>>)[option]);
    if (given !== undefined && usual !== 'undefined' && kindOf(given) !== usual)
      throw new InvalidTrainingOptionsError(`${option} must be a ${usual}, not ${JSON.stringify(given)}.`);
  }
}

function kindOf(option: unknown): string {
  return Array.isArray(option) ? 'list' : typeof option;
}
