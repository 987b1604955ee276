import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeModel, encodeModel } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import ort from 'onnxruntime-node';
import { BrokenModelError } from './errors.ts';
import type { WindowSet } from './window-set.ts';

/** What a detector says of N windows. */
export interface DetectorOutputs {
  /** `[N]` (one signal) */
  readonly score: Float32Array;
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
const BATCH = 256;

/** Runs `use` with a session on the model and frees it afterwards. @throws BrokenModelError when it does not load */
export async function withSession<T>(
  model: Uint8Array,
  use: (session: ort.InferenceSession) => Promise<T>,
): Promise<T> {
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(model, SESSION_OPTIONS);
  } catch (cause) {
    throw new BrokenModelError('ONNX Runtime cannot load the model.', { cause });
  }
  try {
    return await use(session);
  } finally {
    await session.release();
  }
}

/** Score and contributions of every window. @throws BrokenModelError when the model fails, or gives NaN or infinities */
export function scoreWindows(model: Uint8Array, set: WindowSet): Promise<DetectorOutputs> {
  return withSession(model, (session) => scoreInSession(session, set));
}

/** The same in a session that is open already. */
export async function scoreInSession(session: ort.InferenceSession, set: WindowSet): Promise<DetectorOutputs> {
  const score = new Float32Array(set.count);
  const contributions = new Float32Array(set.count * set.channels);
  await eachBatch(session, set, ['score', 'contributions'], (outputs, at) => {
    score.set(outputs.score!, at);
    contributions.set(outputs.contributions!, at * set.channels);
  });
  if (!score.every(Number.isFinite)) throw new BrokenModelError('The model gives scores that are no numbers.');
  return { score, contributions };
}

/** Feeds the windows in batches and hands each batch's named float outputs to `visit`, with the index of its first window. */
export async function eachBatch(
  session: ort.InferenceSession,
  set: WindowSet,
  names: readonly string[],
  visit: (outputs: Readonly<Record<string, Float32Array>>, at: number) => void,
): Promise<void> {
  const size = set.window * set.channels;
  for (let at = 0; at < set.count; at += BATCH) {
    const count = Math.min(BATCH, set.count - at);
    const data = set.data.subarray(at * size, (at + count) * size);
    const feeds = { window: new ort.Tensor('float32', data, [count, set.window, set.channels]) };
    let results: ort.InferenceSession.OnnxValueMapType;
    try {
      results = await session.run(feeds, [...names]);
    } catch (cause) {
      throw new BrokenModelError('ONNX Runtime cannot run the model.', { cause });
    }
    visit(Object.fromEntries(names.map((name) => [name, (results[name] as ort.Tensor).data as Float32Array])), at);
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
