import { DataType, encodeModel, valueInfo } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import ort from 'onnxruntime-node';
import { withSession } from '../detector-session.ts';
import { BrokenModelError, UnsupportedGraphError } from '../errors.ts';
import { concatFloats } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';

/** What a value inside a graph was on the calibration windows. */
export interface Observed {
  /** `[windows, size]` */
  readonly values: Float32Array;
  /** Elements per window. */
  readonly size: number;
}

/** Enough to see a tail of 10⁻⁵, few enough to sort and to keep of every layer. */
const MOST_VALUES = 2 ** 17;
const FEWEST_WINDOWS = 32;
const BATCH = 64;
const CONTRACT_INPUTS = new Set(['window', 'mask', 'time', 'center', 'scale']);

/**
 * Runs the float model with inner values as further outputs. Of large values some windows are kept, evenly spread. State
 * is carried on from window to window, as on a device.
 *
 * @param names float values of the graph
 * @param mostValues kept of each
 * @throws UnsupportedGraphError for inputs that the detector contract does not know; BrokenModelError when it does not run
 */
export async function observe(
  model: ValidModel,
  names: readonly string[],
  windows: WindowSet,
  mostValues = MOST_VALUES,
): Promise<Map<string, Observed>> {
  const states = stateOf(model);
  const known = new Set(model.graph.output.map((output) => output.name));
  const output = [...model.graph.output, ...names.filter((name) => !known.has(name)).map(floatValue)];
  const parts = new Map<string, { kept: Float32Array[]; size: number }>(
    names.map((name) => [name, { kept: [], size: 0 }]),
  );
  const fixed = model.graph.input.find(({ name }) => name === 'window')?.type?.tensorType?.shape?.dim[0]?.dimValue;
  const batch = states.size > 0 ? 1 : (fixed ?? BATCH);
  const fetches = [...names, ...[...states.keys()].map((name) => `${name}.next`)];
  await withSession(encodeModel({ ...model, graph: { ...model.graph, output } }), async (session) => {
    for (let at = 0; at + (fixed ?? 1) <= windows.count; at += batch) {
      const count = Math.min(batch, windows.count - at);
      const results = await run(
        session,
        { ...feedsOf(model, windows, at, count), ...Object.fromEntries(states) },
        fetches,
      );
      for (const name of names) {
        const part = parts.get(name)!;
        const values = results[name]!.data as Float32Array;
        // What does not come from each window by itself is taken as one.
        part.size = values.length % count === 0 ? values.length / count : values.length;
        keepSome(part, values, at, windows.count, mostValues);
      }
      for (const name of states.keys()) states.set(name, results[`${name}.next`]!);
    }
  });
  return new Map([...parts].map(([name, { kept, size }]) => [name, { values: concatFloats(kept), size }]));
}

function keepSome(
  part: { kept: Float32Array[]; size: number },
  values: Float32Array,
  at: number,
  total: number,
  mostValues: number,
): void {
  const { kept, size } = part;
  if (size === 0) return;
  const wanted = Math.max(FEWEST_WINDOWS, Math.ceil(mostValues / size));
  const every = Math.max(1, Math.floor(total / wanted));
  const count = values.length / size;
  for (let i = 0; i < count; i += 1) {
    if ((at + i) % every === 0) kept.push(values.slice(i * size, (i + 1) * size));
  }
}

function filled(value: number, dims: readonly number[]): ort.Tensor {
  const length = dims.reduce((product, dim) => product * dim, 1);
  return new ort.Tensor('float32', new Float32Array(length).fill(value), dims);
}

/** The windows, and what the detector contract calls the other inputs, as they are on a device that was not calibrated. */
function feedsOf(model: ValidModel, set: WindowSet, at: number, count: number): Record<string, ort.Tensor> {
  const { data, window, channels } = set;
  const size = window * channels;
  const all: Record<string, () => ort.Tensor> = {
    window: () => new ort.Tensor('float32', data.slice(at * size, (at + count) * size), [count, window, channels]),
    mask: () => filled(1, [count, window, channels]),
    time: () => filled(0, [count, window]),
    center: () => filled(0, [channels]),
    scale: () => filled(1, [channels]),
  };
  const names = new Set(model.graph.input.map(({ name }) => name));
  return Object.fromEntries(
    Object.entries(all)
      .filter(([name]) => names.has(name))
      .map(([name, make]) => [name, make()]),
  );
}

async function run(
  session: ort.InferenceSession,
  feeds: Record<string, ort.Tensor>,
  fetches: readonly string[],
): Promise<Record<string, ort.Tensor>> {
  try {
    return (await session.run(feeds, [...fetches])) as Record<string, ort.Tensor>;
  } catch (cause) {
    throw new BrokenModelError('ONNX Runtime cannot run the model.', { cause });
  }
}

/** The state inputs, empty. */
function stateOf(model: ValidModel): Map<string, ort.Tensor> {
  const states = new Map<string, ort.Tensor>();
  for (const { name = '', type } of model.graph.input) {
    if (CONTRACT_INPUTS.has(name) || model.graph.initializer.some((tensor) => tensor.name === name)) continue;
    const { elemType, shape } = type?.tensorType ?? {};
    if (!name.startsWith('state.') || elemType !== DataType.FLOAT || shape === undefined) {
      throw new UnsupportedGraphError(`Ranges cannot be calibrated with the input "${name}".`);
    }
    const dims = shape.dim.map(({ dimValue = 1 }) => dimValue);
    states.set(name, filled(0, dims));
  }
  return states;
}

/** Without a shape: ONNX Runtime infers it. */
function floatValue(name: string): ReturnType<typeof valueInfo> {
  return { ...valueInfo(name, DataType.FLOAT, []), type: { tensorType: { elemType: DataType.FLOAT } } };
}
