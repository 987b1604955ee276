import type { InferenceSession } from 'onnxruntime-node';
import type { FieldProblem } from '@drover/runtime';
import { DetectorContractError } from './errors.ts';

type ValueMetadata = InferenceSession.ValueMetadata;

/** A value that a detector keeps from window to window: input `state.<name>`, output `state.<name>.next`. */
export interface StateValue {
  readonly name: string;
  readonly dims: readonly number[];
}

/** What a graph that fulfils the detector contract takes beside `window`. */
export interface DetectorContract {
  readonly mask: boolean;
  readonly time: boolean;
  readonly center: boolean;
  readonly scale: boolean;
  readonly state: readonly StateValue[];
  /** Whether several windows can be scored in one run. */
  readonly batchable: boolean;
}

export interface WindowShape {
  /** W */
  readonly window: number;
  /** C */
  readonly channels: number;
}

const STATE_PREFIX = 'state.';
const NEXT_SUFFIX = '.next';
const MOST_STATE_VALUES = 16 * 2 ** 20;

/**
 * Checks a graph's inputs and outputs against the detector contract: `window` [N, W, C] and optionally `mask` [N, W, C],
 * `time` [N, W], `center` [C], `scale` [C], `state.*` in; `score` [N, S], `contributions` [N, C] and a `state.*.next` per
 * state out. All float32; a dimension without a fixed size fits any.
 *
 * @throws DetectorContractError with one problem per difference
 */
export function checkContract(
  inputs: readonly ValueMetadata[],
  outputs: readonly ValueMetadata[],
  { window, channels }: WindowShape,
): DetectorContract {
  const problems: FieldProblem[] = [];
  const given = (list: readonly ValueMetadata[], name: string): ValueMetadata | undefined =>
    list.find((value) => value.name === name);
  const expect = (value: ValueMetadata | undefined, path: string, shape: readonly (number | string)[]): void => {
    const message = value === undefined ? 'is missing' : differenceFrom(value, shape);
    if (message !== undefined) problems.push({ path, message });
  };

  const shapes: Record<string, readonly (number | string)[]> = {
    window: ['N', window, channels],
    mask: ['N', window, channels],
    time: ['N', window],
    center: [channels],
    scale: [channels],
  };
  expect(given(inputs, 'window'), 'input window', shapes['window']!);
  const state: StateValue[] = [];
  for (const input of inputs) {
    if (input.name === 'window') continue;
    if (input.name.startsWith(STATE_PREFIX))
      state.push(stateOf(input, given(outputs, input.name + NEXT_SUFFIX), problems));
    else if (shapes[input.name] !== undefined) expect(input, `input ${input.name}`, shapes[input.name]!);
    else problems.push({ path: `input ${input.name}`, message: 'is not part of the detector contract' });
  }
  expect(given(outputs, 'score'), 'output score', ['N', 'S']);
  expect(given(outputs, 'contributions'), 'output contributions', ['N', channels]);
  if (problems.length > 0) {
    const list = problems.map(({ path, message }) => `${path} ${message}`).join('; ');
    throw new DetectorContractError(`The graph is no detector: ${list}`, { problems });
  }
  const has = (name: string): boolean => given(inputs, name) !== undefined;
  return {
    mask: has('mask'),
    time: has('time'),
    center: has('center'),
    scale: has('scale'),
    state,
    batchable: state.length === 0 && typeof shapeOf(given(inputs, 'window')!)[0] === 'string',
  };
}

/** Sizes without a number count as 1: a detector with state sees one window at a time. */
function stateOf(input: ValueMetadata, next: ValueMetadata | undefined, problems: FieldProblem[]): StateValue {
  const shape = shapeOf(input);
  const dims = shape.map((size) => (typeof size === 'number' ? size : 1));
  const difference = differenceFrom(input, shape);
  if (difference !== undefined) problems.push({ path: `input ${input.name}`, message: difference });
  if (dims.reduce((product, size) => product * size, 1) > MOST_STATE_VALUES) {
    problems.push({ path: `input ${input.name}`, message: `has more than ${MOST_STATE_VALUES} values` });
  }
  const nextDifference = next === undefined ? 'is missing' : differenceFrom(next, shape);
  if (nextDifference !== undefined) {
    problems.push({ path: `output ${input.name}${NEXT_SUFFIX}`, message: nextDifference });
  }
  return { name: input.name.slice(STATE_PREFIX.length), dims };
}

function shapeOf(value: ValueMetadata): readonly (number | string)[] {
  return value.isTensor ? value.shape : [];
}

/** @returns undefined when type and shape fit */
function differenceFrom(value: ValueMetadata, expected: readonly (number | string)[]): string | undefined {
  if (!value.isTensor) return 'is no tensor';
  if (value.type !== 'float32') return `is ${value.type}, must be float32`;
  const fits = value.shape.length === expected.length && value.shape.every((size, i) => sizeFits(size, expected[i]!));
  return fits ? undefined : `has shape [${value.shape.map(String).join(', ')}], must be [${expected.join(', ')}]`;
}

/** A named size of the contract (`N`, `S`) takes any; a named size of the graph is only known when it runs. */
function sizeFits(size: number | string, expected: number | string): boolean {
  return typeof size === 'string' || typeof expected === 'string' || size === expected;
}
