import type { TailPolicySpec } from '@drover/detection';
import { combineDetectors } from '../combine-graphs.ts';
import type { Family, TrainedDetector } from '../detector.ts';
import { InvalidTrainingOptionsError } from '../errors.ts';
import { value } from '../value/train-value.ts';
import { TAIL_DEFAULTS } from './tail-prior.ts';
import { SHAPE_DEFAULTS, shape } from './train-shape.ts';
import type { ShapeOptions } from './train-shape.ts';

/** As of shape; the threshold is that of both together. */
export type SeriesOptions = ShapeOptions;

/** Evidence is a mean over the signals, and two seldom say the same by chance: less is needed than of one. */
export const SERIES_THRESHOLD = 2.15;

/** Shape and value in one graph, two signals: what each alone would miss, and fewer false alarms. */
export const series: Family<SeriesOptions> = {
  name: 'series',
  summary: 'shape and value together, by running tail probabilities: for single series',
  defaults: { ...SHAPE_DEFAULTS, threshold: SERIES_THRESHOLD },
  async train(data, { threshold = SERIES_THRESHOLD, ...options }, context) {
    const parts = [await shape.train(data, options, context), await value.train(data, {}, context)];
    return combineDetectors(parts, 'series', combineTailPolicies(parts, threshold));
  },
};

/**
 * One policy for the signals of several detectors, in their order.
 *
 * @throws InvalidTrainingOptionsError where one decides otherwise than by tail probabilities
 */
export function combineTailPolicies(
  detectors: readonly Pick<TrainedDetector, 'family' | 'policy'>[],
  threshold: number,
): TailPolicySpec {
  const policies = detectors.map(({ family, policy }) => {
    if (policy.kind === 'tail') return policy;
    throw new InvalidTrainingOptionsError(`"${family}" does not decide by tail probabilities.`);
  });
  return {
    ...TAIL_DEFAULTS,
    threshold,
    sides: policies.flatMap(({ sides = [] }) => sides),
    prior: policies.flatMap(({ prior = [] }) => prior),
  };
}
