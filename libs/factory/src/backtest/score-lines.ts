import type { Decision, DetectorSignature } from '@drover/detection';
import type { BacktestRow, BacktestSink } from './run-backtest.ts';

export interface ScoredRow extends BacktestRow {
  /** As it is in the input; null where the rate gives the times. */
  readonly timeText: string | null;
}

/** Decimals of numbers of usual size; others have as many significant digits. */
const SCORE_DECIMALS = 9;
const CONTRIBUTION_DECIMALS = 6;
const NEEDS_QUOTES = /[",\r\n]/;

/**
 * Lines of a scores file: `timestamp,score,threshold,anomaly,<contributions…>`, one per row of the input. `score` is what the
 * policy compares with `threshold`. Before the first window, in the warm-up, in rows that were trained on, and from a gap to
 * the next window, everything but the time is empty and `anomaly` is 0; between windows (a stride above 1, resampling) the
 * last decision stands.
 */
export class ScoreLines implements BacktestSink<ScoredRow> {
  readonly header: string;
  /** Where each column's contribution is in the model's; -1 for a channel that it does not have. */
  readonly #places: readonly number[];
  readonly #undecided: string;
  #standing: string;
  #active = false;
  #threshold = Number.NaN;
  #thresholdText = '';
  #text: string[] = [];
  rows = 0;
  anomalousRows = 0;
  anomalies = 0;
  scoredRows = 0;

  /** @param channels of the contributions, in their order; those that the model does not have are 0 */
  constructor(channels: readonly string[], signature: Pick<DetectorSignature, 'channels'> | null) {
    this.header = `timestamp,score,threshold,anomaly${channels.map((name) => `,${quoted(`contribution_${name}`)}`).join('')}\n`;
    this.#places = channels.map((name) => signature?.channels.findIndex((channel) => channel.name === name) ?? -1);
    this.#undecided = `,,,0${','.repeat(channels.length)}\n`;
    this.#standing = this.#undecided;
  }

  decide(decision: Readonly<Decision>, contributions: Float32Array): void {
    const { compared, threshold, active, onset } = decision;
    if (onset) this.anomalies += 1;
    this.#active = active;
    if (threshold !== this.#threshold) {
      this.#threshold = threshold;
      this.#thresholdText = numberText(threshold, SCORE_DECIMALS);
    }
    let text = `,${numberText(compared, SCORE_DECIMALS)},${this.#thresholdText},${active ? '1' : '0'}`;
    for (const place of this.#places)
      text += place < 0 ? ',0' : `,${numberText(contributions[place]!, CONTRIBUTION_DECIMALS)}`;
    this.#standing = `${text}\n`;
  }

  gap(): void {
    this.#standing = this.#undecided;
    this.#active = false;
  }

  row({ timeText, timeMs }: ScoredRow): void {
    this.rows += 1;
    if (this.#active) this.anomalousRows += 1;
    if (this.#standing !== this.#undecided) this.scoredRows += 1;
    this.#text.push(timeText === null ? String(timeMs / 1_000) : quoted(timeText), this.#standing);
  }

  /** What came since the last call. */
  take(): string {
    const text = this.#text.join('');
    this.#text = [];
    return text;
  }
}

const SMALLEST_USUAL = 1e-3;
const LARGEST_USUAL = 1e6;
const POWERS = Array.from({ length: 10 }, (_, i) => 10 ** i);

/** Rounding before `String` is several times faster than `toPrecision`, and half of the time of a backtest is here. */
function numberText(value: number, digits: number): string {
  const size = Math.abs(value);
  if (size >= SMALLEST_USUAL && size < LARGEST_USUAL) {
    const power = POWERS[digits]!;
    return String(Math.round(value * power) / power);
  }
  return size === 0 ? '0' : String(Number(value.toPrecision(digits)));
}

function quoted(text: string): string {
  return NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
