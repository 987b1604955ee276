import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DetectorSignature } from '@drover/detection';
import { loadOnnxRuntime, openReplaySession } from '@drover/inference';
import type { DetectorSession } from '@drover/inference';
import { decodeModel, encodeModel } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import ort from 'onnxruntime-node';
import { BrokenModelError } from './errors.ts';
import type { WindowSet, WindowShape } from './window-set.ts';

/** How a detector is run: what of the manifest's signature is not the channels. */
export interface DetectorShape extends WindowShape {
  /** Windows after a start or gap that are not acted on. Default 0. */
  readonly warmup?: number;
  /** When state starts from zeros again. Default `gap`. */
  readonly stateReset?: 'never' | 'gap';
}

/** What a detector says of N windows. */
export interface DetectorOutputs {
  /** `[N, S]` */
  readonly score: Float32Array;
  /** S */
  readonly signals: number;
  /** `[N, C]` */
  readonly contributions: Float32Array;
}

// As on a device: one thread, so that results do not depend on the machine's cores.
const SESSION_OPTIONS: ort.InferenceSession.SessionOptions = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  logSeverityLevel: 3,
};

/** A session, and the signature that it was opened with. */
export interface OpenDetector {
  readonly session: DetectorSession;
  readonly signature: DetectorSignature;
}

/**
 * The agent's own session on a model: many windows a run, always as many, where it scores each for itself; one by one
 * where it keeps state or mixes the windows of a run. Release it.
 *
 * @throws InvalidGraphError, DetectorContractError
 */
export async function openDetector(
  model: Uint8Array,
  shape: DetectorShape,
  channels: readonly string[],
): Promise<OpenDetector> {
  const signature: DetectorSignature = {
    warmup: 0,
    stateReset: 'gap',
    ...shape,
    channels: channels.map((name) => ({ name, kind: 'numeric', resampling: 'last' })),
  };
  return { session: await openReplaySession(loadOnnxRuntime(), model, signature, { providers: ['cpu'] }), signature };
}

/** @throws BrokenModelError */
export function refuseNoNumbers(values: Float32Array): void {
  if (!values.every(Number.isFinite)) throw new BrokenModelError('The model gives scores that are no numbers.');
}

/**
 * Score and contributions of every window, each for itself: with state, each from empty state.
 *
 * @throws BrokenModelError when the model gives NaN or infinities; as `openDetector`
 */
export async function scoreWindows(model: Uint8Array, set: WindowSet): Promise<DetectorOutputs> {
  const { window, channels, count } = set;
  const names = Array.from({ length: channels }, (_, c) => `c${c}`);
  const { session } = await openDetector(model, { window, stride: 1, rateHz: 1, maxGapMs: 1_000 }, names);
  try {
    const { batch, signals } = session;
    const size = window * channels;
    const score = new Float32Array(count * signals);
    const contributions = new Float32Array(count * channels);
    for (let at = 0; at < count; at += batch) {
      const some = Math.min(batch, count - at);
      session.resetState();
      session.window.set(set.data.subarray(at * size, (at + some) * size));
      await session.run();
      score.set(session.score.subarray(0, some * signals), at * signals);
      contributions.set(session.contributions.subarray(0, some * channels), at * channels);
    }
    refuseNoNumbers(score);
    return { score, signals, contributions };
  } finally {
    await session.release();
  }
}

/**
 * The same one by one and with no optimisation of the graph at all: what another build of ONNX Runtime may make of it.
 *
 * @throws BrokenModelError when the model does not run that way
 */
export function scorePlainly(
  model: Uint8Array,
  { data, count, window, channels }: WindowSet,
): Promise<DetectorOutputs> {
  const use = async (session: ort.InferenceSession): Promise<DetectorOutputs> => {
    const scores: number[] = [];
    const contributions = new Float32Array(count * channels);
    const size = window * channels;
    for (let n = 0; n < count; n += 1) {
      const feeds = neutralFeeds(session, window, channels);
      feeds['window'] = new ort.Tensor('float32', data.slice(n * size, (n + 1) * size), [1, window, channels]);
      const results = await session.run(feeds, ['score', 'contributions']).catch((cause: unknown) => {
        throw new BrokenModelError('ONNX Runtime cannot run the model without optimisations.', { cause });
      });
      scores.push(...(results['score']!.data as Float32Array));
      contributions.set(results['contributions']!.data as Float32Array, n * channels);
    }
    return { score: Float32Array.from(scores), signals: scores.length / Math.max(1, count), contributions };
  };
  return withSession(model, use, { graphOptimizationLevel: 'disabled' });
}

/** All values measured, no calibration, empty state; a size that the graph leaves open is 1. */
function neutralFeeds(session: ort.InferenceSession, window: number, channels: number): Record<string, ort.Tensor> {
  const feeds: Record<string, ort.Tensor> = {};
  for (const input of session.inputMetadata) {
    if (!input.isTensor || input.name === 'window') continue;
    const contract: Record<string, number[]> = {
      mask: [1, window, channels],
      time: [1, window],
      center: [channels],
      scale: [channels],
    };
    const dims = contract[input.name] ?? input.shape.map((size) => (typeof size === 'number' ? size : 1));
    const fill = input.name === 'mask' || input.name === 'scale' ? 1 : 0;
    const values = new Float32Array(dims.reduce((product, size) => product * size, 1)).fill(fill);
    feeds[input.name] = new ort.Tensor('float32', values, dims);
  }
  return feeds;
}

/**
 * Runs `use` with a bare session, for what is no detector: graphs whose inner values are outputs. Frees it afterwards.
 *
 * @throws BrokenModelError when it does not load
 */
export async function withSession<T>(
  model: Uint8Array,
  use: (session: ort.InferenceSession) => Promise<T>,
  options: ort.InferenceSession.SessionOptions = {},
): Promise<T> {
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(model, { ...SESSION_OPTIONS, ...options });
  } catch (cause) {
    throw new BrokenModelError('ONNX Runtime cannot load the model.', { cause });
  }
  try {
    return await use(session);
  } finally {
    await session.release();
  }
}
/**
 * The graph that ONNX Runtime really runs on this machine's CPU, after all its optimisations, or after as many as asked.
 */
export async function optimisedGraph(
  model: ValidModel,
  level: 'basic' | 'extended' | 'all' = 'all',
): Promise<ValidModel> {
  const folder = await mkdtemp(join(tmpdir(), 'drover-optimised-'));
  try {
    const path = join(folder, 'optimised.onnx');
    const options = { ...SESSION_OPTIONS, graphOptimizationLevel: level, optimizedModelFilePath: path };
    const session = await ort.InferenceSession.create(encodeModel(model), options);
    await session.release();
    return decodeModel(await readFile(path));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
