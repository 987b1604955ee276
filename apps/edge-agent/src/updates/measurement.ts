import type { BenchmarkMessage } from '@drover/contracts';
import { quantilesOf } from '@drover/inference';
import type { ReadyRelease, Round, RoundLimits } from './release-engine.ts';

/** How the candidates of one release are measured. */
export interface MeasurementPlan extends Omit<RoundLimits, 'budgetMs'> {
  readonly rounds: number;
  /** For one candidate, over all rounds, loading included. */
  readonly budgetMs: number;
}

const PLAN: Omit<MeasurementPlan, 'budgetMs'> = { rounds: 3, runs: 70, warmupRuns: 10 };
/** With nothing to choose from, the figures are for the server's statistics only. */
const ALONE: MeasurementPlan = { rounds: 1, runs: 100, warmupRuns: 10, budgetMs: 1_000 };
const CANDIDATE_BUDGET_MS = 5_000;
const TOTAL_BUDGET_MS = 20_000;
/** Boards begin to slow down here to save themselves: measuring for long would heat them, and measure that. */
const HOT_C = 80;

/** @param temperatureC null where the board tells none */
export function measurementPlan(candidates: number, temperatureC: number | null): MeasurementPlan {
  if (candidates === 1) return ALONE;
  const rounds = (temperatureC ?? 0) >= HOT_C ? 1 : PLAN.rounds;
  return { ...PLAN, rounds, budgetMs: Math.min(CANDIDATE_BUDGET_MS, TOTAL_BUDGET_MS / candidates) };
}

export interface Temperatures {
  readonly beforeC: number | null;
  readonly afterC: number | null;
}

/** A candidate's figures but for where it runs and what becomes of it. */
export type CandidateFigures = Omit<BenchmarkMessage['benchmark'], 'pipeline' | 'chosen' | 'reason' | 'at'>;

/** Puts the rounds of one candidate together. */
export class CandidateMeasurement {
  readonly release: ReadyRelease;
  readonly #plan: MeasurementPlan;
  readonly #rounds: Round[] = [];
  #beforeC: number | null = null;
  #afterC: number | null = null;
  #spentMs = 0;

  constructor(release: ReadyRelease, plan: MeasurementPlan) {
    this.release = release;
    this.#plan = plan;
  }

  /** Bounds of the next round. */
  get limits(): RoundLimits {
    const { runs, warmupRuns, budgetMs, rounds } = this.#plan;
    return { runs, warmupRuns, budgetMs: Math.min(budgetMs / rounds, budgetMs - this.#spentMs) };
  }

  /** Whether another round as long as those so far would take longer than there is for this candidate. */
  get spent(): boolean {
    const { length } = this.#rounds;
    return length > 0 && this.#spentMs * (1 + 1 / length) > this.#plan.budgetMs;
  }

  add(round: Round, { beforeC, afterC }: Temperatures, tookMs: number): void {
    if (this.#rounds.length === 0) this.#beforeC = beforeC;
    this.#rounds.push(round);
    this.#afterC = afterC;
    this.#spentMs += tookMs;
  }

  /** Only after a round. */
  figures(): CandidateFigures {
    const { release, variant, variantDigest } = this.release.served;
    const temperature =
      this.#beforeC === null || this.#afterC === null ? null : { beforeC: this.#beforeC, afterC: this.#afterC };
    return {
      release,
      variant,
      variantDigest,
      provider: this.#rounds[0]!.provider,
      ...quantilesOf(this.#rounds.flatMap(({ timesUs }) => timesUs)),
      memoryBytes: Math.max(...this.#rounds.map(({ residentBytes }) => residentBytes)),
      temperature,
    };
  }
}
