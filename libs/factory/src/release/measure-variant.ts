import type { Metrics } from '@drover/contracts';
import type { DetectorShape } from '../detector-session.ts';
import { agreementOn, answersOf, qualityOf } from '../evaluation/trial.ts';
import type { Trial, TrialAnswers } from '../evaluation/trial.ts';
import { quantileOfSorted } from '../quantile.ts';
import type { MadeVariant } from './made-variant.ts';

const QUANTILES = { p50: 0.5, p95: 0.95, p99: 0.99, max: 1 };

export interface MeasuredVariant {
  readonly made: MadeVariant;
  readonly metrics: Metrics;
  readonly answers: TrialAnswers;
  /** VUS-PR of the network that a distilled variant has to beat. */
  readonly alone?: number;
}

/**
 * Runs a variant over the trial: quality, quantiles of the score on normal training data and, beside the reference, the
 * loss of VUS-PR and the share of equal decisions.
 */
export async function measureVariant(
  made: MadeVariant,
  trial: Trial,
  shape: DetectorShape,
  reference: MeasuredVariant | undefined,
  signal?: AbortSignal,
): Promise<MeasuredVariant> {
  const answers = await answersOf({ bytes: made.bytes, policy: made.policy, shape }, trial, signal);
  const quality = qualityOf(trial, answers, shape);
  const sorted = made.normalScores.toSorted();
  const metrics: Metrics = {
    ...quality,
    ...(sorted.length === 0
      ? {}
      : {
          scoreQuantiles: Object.fromEntries(
            Object.entries(QUANTILES).map(([name, q]) => [name, quantileOfSorted(sorted, q)]),
          ),
        }),
    ...(reference === undefined ? {} : comparison(quality, answers, reference)),
  };
  return { made, metrics, answers, ...(await aloneOf(made, trial, shape, signal)) };
}

function comparison(quality: Metrics, answers: TrialAnswers, reference: MeasuredVariant): Metrics {
  const best = reference.metrics.vusPr;
  return {
    ...(answers.length === 0 ? {} : { agreement: agreementOn(answers, reference.answers) }),
    ...(best === undefined || quality.vusPr === undefined ? {} : { vusPrLoss: best - quality.vusPr }),
  };
}

async function aloneOf(
  { alone }: MadeVariant,
  trial: Trial,
  shape: DetectorShape,
  signal?: AbortSignal,
): Promise<{ alone?: number }> {
  if (alone === undefined) return {};
  const { vusPr } = qualityOf(trial, await answersOf({ ...alone, shape }, trial, signal), shape);
  return vusPr === undefined ? {} : { alone: vusPr };
}
