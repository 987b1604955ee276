import type { PolicySpec } from '@drover/detection';
import { quantile } from '../quantile.ts';
import type { MadeVariant } from './made-variant.ts';

/** Scores of one variant on windows that another one has scored too, in the same order. */
export type MatchingScores = Pick<MadeVariant, 'normalScores' | 'probeScores'>;

/** Pairs of scores are enough from here on; of more, those nearest to a level. */
const FEWEST_PAIRS = 16;
const MOST_PAIRS = 64;
/** Scores further from a level than by this factor say nothing of it. */
const NEAR = 2;
const MATCHED_QUANTILE = 0.95;
/** Most of what a device sees is normal, so that is what most of the weight lies on. */
const NORMAL_WEIGHT = 0.8;
/** Levels that decide this share of the weight differently are as good as the best. */
const AS_GOOD = 0.002;

/**
 * A policy for another variant's scores: the levels at which an alarm starts and ends are moved to where it decides the same
 * windows as they were decided before, so that rounding makes neither more nor fewer alarms. A policy that compares tail
 * probabilities adapts by itself.
 *
 * @param reference what the policy was made for @param own the other variant's
 */
export function matchedPolicy(policy: PolicySpec, reference: MatchingScores, own: MatchingScores): PolicySpec {
  if (policy.kind !== 'threshold') return policy;
  const pairs = pairsOf(reference, own);
  const usual = quantile(own.normalScores, MATCHED_QUANTILE) / quantile(reference.normalScores, MATCHED_QUANTILE);
  const threshold = movedLevel(policy.threshold, pairs, usual);
  const release = movedLevel(policy.threshold * policy.releaseRatio, pairs, usual);
  return { ...policy, threshold, releaseRatio: Math.min(1, release / threshold) };
}

/** Two scores of one window, and how much it counts. */
interface Pair {
  readonly reference: number;
  readonly own: number;
  readonly weight: number;
}

function pairsOf(reference: MatchingScores, own: MatchingScores): Pair[] {
  return [
    ...weighed(reference.normalScores, own.normalScores, NORMAL_WEIGHT),
    ...weighed(reference.probeScores, own.probeScores, 1 - NORMAL_WEIGHT),
  ];
}

function weighed(before: Float64Array, after: Float64Array, weight: number): Pair[] {
  if (before.length !== after.length) return [];
  return Array.from(before, (score, i) => ({ reference: score, own: after[i]!, weight: weight / before.length }));
}

/**
 * Of the levels that decide (nearly) as many windows as possible as the reference does, the one nearest to where the scores
 * next to the old level went.
 *
 * @param usual ratio of scores on normal windows, where too few come near the level
 */
function movedLevel(level: number, pairs: readonly Pair[], usual: number): number {
  const ratio = ratioNear(level, pairs) ?? usual;
  const wanted = Number.isFinite(ratio) && ratio > 0 ? level * ratio : level;
  // From a level under all scores upwards: every score that is passed is no longer over.
  const sorted = pairs.toSorted((a, b) => a.own - b.own);
  const costs = new Float64Array(sorted.length + 1);
  for (const { reference, weight } of sorted) if (reference < level) costs[0]! += weight;
  for (const [i, { reference, weight }] of sorted.entries()) {
    costs[i + 1] = costs[i]! + (reference < level ? -weight : weight);
  }
  const allowed = costs.reduce((least, cost) => Math.min(least, cost), Infinity) + AS_GOOD;
  let best = wanted;
  let distance = Infinity;
  for (const [i, cost] of costs.entries()) {
    if (cost > allowed) continue;
    const nearest = Math.min(sorted[i]?.own ?? Infinity, Math.max(sorted[i - 1]?.own ?? 0, wanted));
    if (nearest > 0 && Math.abs(nearest - wanted) < distance) {
      best = nearest;
      distance = Math.abs(nearest - wanted);
    }
  }
  return best;
}

/** Median ratio of paired scores, of the pairs nearest to a level. */
function ratioNear(level: number, pairs: readonly Pair[]): number | undefined {
  const near = pairs
    .map(({ reference, own }) => ({ distance: Math.abs(Math.log(reference / level)), ratio: own / reference }))
    .filter(({ distance }) => distance <= Math.log(NEAR));
  if (near.length < FEWEST_PAIRS) return undefined;
  const nearest = near.toSorted((a, b) => a.distance - b.distance).slice(0, MOST_PAIRS);
  return quantile(
    nearest.map(({ ratio }) => ratio),
    0.5,
  );
}
