import type { Family, TrainingData } from '../detector.ts';
import { InvalidTrainingOptionsError, NotEnoughDataError } from '../errors.ts';
import { quantile } from '../quantile.ts';
import { channelsOf, concatWindows, evenly, windowsOf } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';
import { channelScale } from './channel-scale.ts';
import { buildShapeGraph } from './shape-graph.ts';
import { priorOf, TAIL_DEFAULTS } from './tail-prior.ts';
import { leaveOneOutDistances, normaliseRows } from './shape-model.ts';

export interface ShapeOptions {
  /** Newest samples that are compared with the past; left out: by the number of channels. */
  readonly span?: number;
  /** Samples of training that are kept; left out: as many as keep a run short. */
  readonly trainingSamples?: number;
  /** Newest samples that are kept in memory; left out: as many as keep a run short. */
  readonly memorySamples?: number;
  /** Deviations at which a value is cut off. */
  readonly limit: number;
  /** Mean evidence of an alarm. */
  readonly threshold: number;
}

export const DEFAULT_SHAPE_OPTIONS: ShapeOptions = { limit: 20, threshold: 2.4 };
const BY_DATA = { span: undefined, trainingSamples: undefined, memorySamples: undefined };
/** All names, also of options that the data decides on. */
export const SHAPE_DEFAULTS = { ...BY_DATA, ...DEFAULT_SHAPE_OPTIONS };

/** Channels × span × series samples: what a run goes through. More takes longer than 100 µs. */
const MOST_PRODUCTS = 40_000;
const MOST_SAMPLES = 1_024;
/** Deviations: what repeats exactly has no distances to take a unit from. */
const LEAST_UNIT = 0.01;
/** Windows that calibrations run on. */
const MOST_WINDOWS = 4_000;
/** Samples that say where a channel lies. */
const MOST_SCALED = 20_000;
/** Stored pieces of training are this many spans long, where not all of it is stored. */
const PIECE_SPANS = 8;
const FEWEST_SPANS = 4;

/** Distance of the newest samples to the nearest that were there before, in training or since. */
export const shape: Family<ShapeOptions> = {
  name: 'shape',
  summary: 'distance to the nearest shapes of the past, with a rolling memory: strong on single, recurring series',
  defaults: SHAPE_DEFAULTS,
  train(data, partial) {
    const options = { ...DEFAULT_SHAPE_OPTIONS, ...partial };
    const channels = channelsOf(data.recordings).length;
    const span = options.span ?? data.window ?? defaultSpan(channels);
    refuseImpossible(options, span);
    const step = Math.min(data.stride, span);
    const sampling = { stride: data.stride, rateHz: data.rateHz, maxGapMs: data.maxGapMs };
    const most = Math.max(FEWEST_SPANS * span, Math.floor(MOST_PRODUCTS / (2 * span * channels)));
    const memory = options.memorySamples ?? Math.min(MOST_SAMPLES, most);
    const { rows, starts } = pieces(data, span, options.trainingSamples ?? Math.min(MOST_SAMPLES, most));
    const scale = channelScale(windowsOf(data.recordings, { ...sampling, window: 1 }, undefined, MOST_SCALED));
    const bare = { channels, span, memory, step, limit: options.limit, ...scale };
    const model = { ...bare, training: normaliseRows(rows.data, bare), trainingStarts: starts };
    const distances = leaveOneOutDistances(model);
    const unit = Math.max(quantile(distances, 0.95), LEAST_UNIT);
    const trainedOn = windowsOf(data.recordings, { ...sampling, window: step }, undefined, MOST_WINDOWS);
    const prior = priorOf(distances.map((distance) => distance / unit));
    return {
      family: 'shape',
      graph: buildShapeGraph({ ...model, unit }),
      shape: { ...sampling, window: step },
      policy: { ...TAIL_DEFAULTS, threshold: options.threshold, sides: ['upper'], prior: [prior.history] },
      warmup: 0,
      // What is normal does not end with an interruption.
      stateReset: 'never',
      trainedOn,
      normal: Array.from({ length: trainedOn.count }, () => true),
      constantChannels: [],
      summary: { samples: rows.count, windows: starts.length, setAside: prior.setAside, span, memory, unit, options },
    };
  },
};

/** Longer shapes say more where there is one channel; with many they would all differ. */
function defaultSpan(channels: number): number {
  if (channels === 1) return 16;
  return channels <= 8 ? 8 : 4;
}

/**
 * The samples that are stored: all, or evenly spread pieces of consecutive ones.
 *
 * @returns with the starts of the windows that lie in one piece
 */
function pieces(
  { recordings, rateHz, maxGapMs }: TrainingData,
  span: number,
  most: number,
): { readonly rows: WindowSet; readonly starts: readonly number[] } {
  const available = recordings.reduce((sum, { rows }) => sum + rows, 0);
  const length = available <= most ? Infinity : Math.min(most, PIECE_SPANS * span);
  const chosen: WindowSet[] = [];
  const starts: number[] = [];
  let stored = 0;
  for (const recording of recordings) {
    const pieceLength = Math.min(length, recording.rows);
    const fitting = Math.floor(recording.rows / pieceLength);
    const wanted = available <= most ? 1 : Math.floor((most * recording.rows) / available / pieceLength);
    for (const piece of evenly(Math.min(fitting, wanted), fitting)) {
      const rows: [number, number] = [piece * pieceLength, (piece + 1) * pieceLength];
      const samples = windowsOf([recording], { window: 1, stride: 1, rateHz, maxGapMs }, rows);
      if (samples.count < span) continue;
      chosen.push(samples);
      for (let start = 0; start + span <= samples.count; start += 1) starts.push(stored + start);
      stored += samples.count;
    }
  }
  if (stored < FEWEST_SPANS * span) {
    throw new NotEnoughDataError(
      `${available} samples; at least ${FEWEST_SPANS * span} in a row are needed to compare shapes of ${span}.`,
    );
  }
  return { rows: chosen.reduce(concatWindows), starts };
}

function refuseImpossible({ limit, memorySamples, trainingSamples, threshold }: ShapeOptions, span: number): void {
  const wrong = [
    [whole(span, 2, 256), 'span must be a whole number from 2 to 256'],
    [whole(memorySamples, 2 * span, 4_096), `memorySamples must be a whole number from ${2 * span} to 4096`],
    [whole(trainingSamples, FEWEST_SPANS * span, 4_096), `trainingSamples must be from ${FEWEST_SPANS * span} to 4096`],
    [limit > 0 && limit <= 50, 'limit must be over 0, at most 50'],
    [threshold > 0, 'threshold must be positive'],
  ] as const;
  const problem = wrong.find(([fine]) => !fine);
  if (problem) throw new InvalidTrainingOptionsError(`${problem[1]}.`);
}

function whole(value: number | undefined, least: number, most: number): boolean {
  return value === undefined || (Number.isInteger(value) && value >= least && value <= most);
}
