/** What one set of detectors did in one trial. */
export interface TrialResult {
  /** Which block of time was held out. */
  readonly block: number;
  /** Volume under the surface of precision and recall on held-out rows with faults put in. */
  readonly detection: number;
  /** Share of the clean held-out rows in alarm. */
  readonly falseAlarms: number;
}

export interface Contender {
  /** Families whose largest signal decides. */
  readonly members: readonly string[];
  /** Per trial; the trials of all contenders are the same ones, in the same order. */
  readonly results: readonly TrialResult[];
}

export interface Choice {
  readonly members: readonly string[];
  /** For a person: what was compared, and why this one. */
  readonly reasons: readonly string[];
}

/** What a false alarm costs: a share of rows in false alarm counts like the same loss of detection. */
const FALSE_ALARM_WEIGHT = 1;
/** Less than this is no difference worth leaving the preferred contender for. */
const LEAST_GAIN = 0.03;
/** Standard errors by which another must be better. */
const CERTAINTY = 2;

/**
 * The first contender, unless another is better in a paired comparison over all trials: by a gain that matters, by two
 * standard errors, and in every block of time (trials of one block are no independent evidence). Training data are few and
 * faults made up: a small lead in them says little, and the preferred one was chosen on real faults. Of several that are better, the
 * one with the largest gain.
 */
export function choose(contenders: readonly Contender[]): Choice {
  const [preferred, ...others] = contenders;
  if (preferred === undefined) return { members: [], reasons: [] };
  const reasons = contenders.map((contender) => `${nameOf(contender)}: ${describe(contender.results)}`);
  let best = preferred;
  let bestGain = 0;
  let because = 'no other is clearly better, and this one is preferred';
  for (const other of others) {
    const gains = other.results.map((result, t) => valueOf(result) - valueOf(preferred.results[t]!));
    const gain = mean(gains);
    const needed = Math.max(LEAST_GAIN, CERTAINTY * standardError(gains));
    const blocks = new Set(other.results.map(({ block }) => block));
    const everywhere = [...blocks].every(
      (block) => mean(gains.filter((_, t) => other.results[t]!.block === block)) > 0,
    );
    if (gain > needed && everywhere && gain > bestGain) {
      best = other;
      bestGain = gain;
      because = `better than ${nameOf(preferred)} in every block, by ${gain.toFixed(3)}, where ${needed.toFixed(3)} was needed`;
    }
  }
  return { members: best.members, reasons: [...reasons, `Chosen: ${nameOf(best)}; ${because}.`] };
}

export function nameOf({ members }: Pick<Contender, 'members'>): string {
  return members.join(' + ');
}

function describe(results: readonly TrialResult[]): string {
  const detection = mean(results.map((result) => result.detection));
  const falseAlarms = mean(results.map((result) => result.falseAlarms));
  return `VUS-PR ${detection.toFixed(3)} on made-up faults, ${(100 * falseAlarms).toFixed(1)} % of clean held-out rows in alarm`;
}

function valueOf({ detection, falseAlarms }: TrialResult): number {
  return detection - FALSE_ALARM_WEIGHT * falseAlarms;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function standardError(values: readonly number[]): number {
  if (values.length < 2) return Infinity;
  const center = mean(values);
  const variance = values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1);
  return Math.sqrt(variance / values.length);
}
