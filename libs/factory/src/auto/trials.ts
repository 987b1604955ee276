import { createPolicy, vusPr } from '@drover/detection';
import { encodeModel } from '@drover/onnx';
import { CallerError } from '@drover/runtime';
import type { Family, TrainingContext, TrainingData } from '../detector.ts';
import { injectRecordingFaults } from '../evaluation/recording-faults.ts';
import { scoreRecordings } from '../evaluation/score-recording.ts';
import type { RecordingScores } from '../evaluation/score-recording.ts';
import { seededRandom } from '../random.ts';
import type { Recording } from '../window-set.ts';
import type { Contender, TrialResult } from './choose.ts';
import type { Fold } from './folds.ts';
import { normalised } from './normalised-detector.ts';

/** Scores of one family on the held-out rows of one fold, 1 being its alarm threshold; NaN where no window ends. */
interface FamilyScores {
  readonly clean: Float64Array;
  /** Per copy with faults. */
  readonly faulty: readonly Float64Array[];
}

export interface TrialOptions {
  /** Copies with different faults of a block of so many rows. */
  readonly copiesOf: (rows: number) => number;
  /** How an alarm is decided from the largest signal of several members. */
  readonly policyOf: (members: readonly string[]) => { threshold: number; releaseRatio: number; minLength: number };
}

export interface TrialReport {
  readonly contenders: readonly Contender[];
  /** Families that could not be trained on a part of the data, and why. */
  readonly failed: ReadonlyMap<string, string>;
}

/** Buffer lengths that VUS-PR averages over here: enough to compare, and fast. */
const BUFFERS = 8;

/**
 * Trains every family without each block of time in turn, lets it score the block as it is and with faults put in, and
 * measures each set of families by the largest signal of its members.
 */
export async function runTrials(
  families: readonly Family[],
  sets: readonly (readonly string[])[],
  { data, folds }: { readonly data: TrainingData; readonly folds: readonly Fold[] },
  context: TrainingContext,
  options: TrialOptions,
): Promise<TrialReport> {
  const failed = new Map<string, string>();
  const results = new Map(sets.map((set) => [set, [] as TrialResult[]]));
  let done = 0;
  for (const [k, fold] of folds.entries()) {
    const faulty = faultyCopies(fold, context.seed + 7_919 * k, options.copiesOf(fold.heldOut.rows));
    const scores = new Map<string, FamilyScores>();
    for (const family of families) {
      context.signal?.throwIfAborted();
      if (!failed.has(family.name)) {
        try {
          scores.set(family.name, await scoresOf(family, { data, fold, faulty }, context));
        } catch (error) {
          if (!(error instanceof CallerError)) throw error;
          failed.set(family.name, error.message);
        }
      }
      done += 1;
      context.onProgress?.(done / (folds.length * families.length));
    }
    for (const set of sets) {
      const members = set.map((name) => scores.get(name));
      if (!members.every((member) => member !== undefined)) continue;
      const falseAlarms = alarmShare(largest(members.map(({ clean }) => clean)), options.policyOf(set));
      for (const [copy, { labels }] of faulty.entries()) {
        const signal = largest(members.map((member) => member.faulty[copy]!));
        const detection = vusPr([{ scores: signal, labels: labels.subarray(fold.lead) }], { mostBuffers: BUFFERS });
        if (Number.isFinite(detection)) results.get(set)!.push({ block: k, detection, falseAlarms });
      }
    }
  }
  const contenders = sets
    .filter((set) => set.every((name) => !failed.has(name)))
    .map((set) => ({ members: set, results: results.get(set)! }));
  return { contenders, failed };
}

function faultyCopies({ heldOut, lead }: Fold, seed: number, copies: number): (Recording & { labels: Uint8Array })[] {
  const random = seededRandom(seed);
  return Array.from({ length: copies }, () => injectRecordingFaults(heldOut, random, { lead: Math.max(8, lead) }));
}

async function scoresOf(
  family: Family,
  { data, fold, faulty }: { data: TrainingData; fold: Fold; faulty: readonly Recording[] },
  { seed, signal }: TrainingContext,
): Promise<FamilyScores> {
  const trained = await family.train({ ...data, recordings: fold.training }, {}, { seed, signal });
  const detector = normalised(trained);
  const shape = { ...detector.shape, warmup: detector.warmup, stateReset: detector.stateReset };
  const scored = await scoreRecordings(encodeModel(detector.graph), [fold.heldOut, ...faulty], shape, signal);
  const [clean, ...rest] = scored.map((recording) => perRow(recording, fold));
  return { clean: clean!, faulty: rest };
}

/** Rows between two windows have the last window's score. */
function perRow({ ends, scores }: RecordingScores, { heldOut, lead }: Fold): Float64Array {
  const rows = new Float64Array(heldOut.rows - lead).fill(Number.NaN);
  let window = -1;
  for (let row = 0; row < heldOut.rows; row += 1) {
    if (ends[window + 1] === row) window += 1;
    if (window >= 0 && row >= lead) rows[row - lead] = scores[window]!;
  }
  return rows;
}

/** Row by row; NaN where one has none, so that all are judged on the same rows. */
function largest(signals: readonly Float64Array[]): Float64Array {
  return signals.reduce((a, b) => a.map((value, row) => Math.max(value, b[row]!)));
}

function alarmShare(
  signal: Float64Array,
  policy: { threshold: number; releaseRatio: number; minLength: number },
): number {
  const decide = createPolicy({ kind: 'threshold', ...policy });
  let rows = 0;
  let alarms = 0;
  for (const value of signal) {
    if (Number.isNaN(value)) continue;
    rows += 1;
    if (decide.decide([value]).active) alarms += 1;
  }
  return rows === 0 ? 0 : alarms / rows;
}
