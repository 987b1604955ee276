import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { DetectorSignature } from '@drover/detection';
import { checkContract } from './detector-contract.ts';
import type { DetectorContract } from './detector-contract.ts';
import { DetectorContractError, InvalidGraphError, SignatureMismatchError } from './errors.ts';
import { openSession } from './open-session.ts';
import type { ProviderFailure, SessionTuning } from './open-session.ts';
import type { OnnxRuntime } from './onnx-runtime.ts';

/** A device's own centre and scale per channel, for graphs that take them. */
export interface ChannelCalibration {
  readonly center?: readonly number[] | undefined;
  readonly scale?: readonly number[] | undefined;
}

export interface DetectorSessionOptions extends SessionTuning {
  /** Providers in the order to try; the CPU is the last resort. */
  readonly providers: readonly string[];
  readonly calibration?: ChannelCalibration | undefined;
  /** Windows per run. Default 1; more only for graphs without state. */
  readonly batch?: number;
}

type Values = Record<string, Tensor>;
/** State by name, to persist. */
export type DetectorState = Record<string, Float32Array>;

const MOST_SIGNALS = 64;

/**
 * A detector ready to run. All tensors are made once: fill `window` (and `mask`, `time` where the graph takes them), `run`,
 * read `score` and `contributions`.
 *
 * State goes back and forth between two sets of tensors: what one run wrote is what the next one reads, without a copy.
 */
export class DetectorSession {
  readonly contract: DetectorContract;
  readonly provider: string;
  readonly failures: readonly ProviderFailure[];
  /** N: windows per run. */
  readonly batch: number;
  /** S */
  readonly signals: number;
  /** `[N, W, C]` */
  readonly window: Float32Array;
  /** `[N, W, C]`, or undefined where the graph takes none. */
  readonly mask: Float32Array | undefined;
  /** `[N, W]`, or undefined where the graph takes none. */
  readonly time: Float32Array | undefined;
  /** `[N, S]` */
  readonly score: Float32Array;
  /** `[N, C]` */
  readonly contributions: Float32Array;
  readonly #session: InferenceSession;
  readonly #feeds: readonly [Values, Values];
  readonly #fetches: readonly [Values, Values];
  #turn: 0 | 1 = 0;

  private constructor(session: InferenceSession, parts: SessionParts) {
    this.#session = session;
    this.contract = parts.contract;
    this.provider = parts.provider;
    this.failures = parts.failures;
    this.batch = parts.batch;
    this.signals = parts.signals;
    this.#feeds = parts.feeds;
    this.#fetches = parts.fetches;
    this.window = floatsOf(parts.feeds[0], 'window')!;
    this.mask = floatsOf(parts.feeds[0], 'mask');
    this.time = floatsOf(parts.feeds[0], 'time');
    this.score = floatsOf(parts.fetches[0], 'score')!;
    this.contributions = floatsOf(parts.fetches[0], 'contributions')!;
  }

  /**
   * Loads a model, checks it against the contract and its signature, and runs it once on zeros.
   *
   * @param model a file's path or its bytes
   * @throws InvalidGraphError, DetectorContractError, SignatureMismatchError
   */
  static async open(
    runtime: OnnxRuntime,
    model: string | Uint8Array,
    signature: DetectorSignature,
    options: DetectorSessionOptions,
  ): Promise<DetectorSession> {
    const channels = signature.channels.length;
    const { session, provider, failures } = await openSession(runtime, model, options.providers, options);
    try {
      const shape = { window: signature.window, channels };
      const contract = checkContract(session.inputMetadata, session.outputMetadata, shape);
      const batch = contract.batchable ? (options.batch ?? 1) : 1;
      const feeds = feedsFor(runtime, contract, [batch, signature.window, channels]);
      const signals = await tryOnZeros(session, feeds[0], { batch, channels });
      const fetches = fetchesFor(runtime, contract, feeds, { batch, channels, signals });
      const detector = new DetectorSession(session, { contract, provider, failures, batch, signals, feeds, fetches });
      detector.calibrate(options.calibration ?? {});
      return detector;
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  /** Scores the windows in `window`. State, where there is any, moves on. */
  async run(): Promise<void> {
    const turn = this.#turn;
    await this.#session.run(this.#feeds[turn], this.#fetches[turn]);
    if (this.contract.state.length > 0) this.#turn = turn === 0 ? 1 : 0;
  }

  /** Sets centre and scale; 0 and 1 where they are not given. @throws SignatureMismatchError when a length is wrong */
  calibrate({ center, scale }: ChannelCalibration): void {
    for (const [name, values, neutral] of [
      ['center', center, 0],
      ['scale', scale, 1],
    ] as const) {
      const target = floatsOf(this.#feeds[0], name);
      if (target === undefined) continue;
      if (values !== undefined && values.length !== target.length) {
        throw new SignatureMismatchError(
          `The calibration's ${name} has ${values.length} values for ${target.length} channels`,
        );
      }
      if (values === undefined) target.fill(neutral);
      else target.set(values);
    }
  }

  /** State starts from zeros again. */
  resetState(): void {
    for (const { name } of this.contract.state) floatsOf(this.#feeds[this.#turn], `state.${name}`)!.fill(0);
  }

  /** A copy of the state that the next run will read. */
  exportState(): DetectorState {
    return Object.fromEntries(
      this.contract.state.map(({ name }) => [name, floatsOf(this.#feeds[this.#turn], `state.${name}`)!.slice()]),
    );
  }

  /**
   * Brings state back. One that does not fit as a whole (it is another model's) leaves all at zeros.
   *
   * @returns whether it fitted
   */
  importState(state: DetectorState): boolean {
    this.resetState();
    const targets = this.contract.state.map(({ name }) => ({
      values: state[name],
      target: floatsOf(this.#feeds[this.#turn], `state.${name}`)!,
    }));
    if (!targets.every(({ values, target }) => values?.length === target.length)) return false;
    for (const { values, target } of targets) target.set(values!);
    return true;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

interface SessionParts {
  readonly contract: DetectorContract;
  readonly provider: string;
  readonly failures: readonly ProviderFailure[];
  readonly batch: number;
  readonly signals: number;
  readonly feeds: readonly [Values, Values];
  readonly fetches: readonly [Values, Values];
}

function floatsOf(values: Values, name: string): Float32Array | undefined {
  return values[name]?.data as Float32Array | undefined;
}

function zeros(runtime: OnnxRuntime, dims: readonly number[]): Tensor {
  const count = dims.reduce((product, size) => product * size, 1);
  return new runtime.Tensor('float32', new Float32Array(count), dims);
}

/** Two sets that share everything but the state. */
function feedsFor(
  runtime: OnnxRuntime,
  contract: DetectorContract,
  [batch, window, channels]: readonly [number, number, number],
): [Values, Values] {
  const values: Values = { window: zeros(runtime, [batch, window, channels]) };
  if (contract.mask) {
    values['mask'] = zeros(runtime, [batch, window, channels]);
    floatsOf(values, 'mask')!.fill(1);
  }
  if (contract.time) values['time'] = zeros(runtime, [batch, window]);
  if (contract.center) values['center'] = zeros(runtime, [channels]);
  if (contract.scale) values['scale'] = zeros(runtime, [channels]);
  const withState = (): Values => ({
    ...values,
    ...Object.fromEntries(contract.state.map(({ name, dims }) => [`state.${name}`, zeros(runtime, dims)])),
  });
  return [withState(), withState()];
}

/** The state that one set of outputs writes is the one that the other set of inputs reads. */
function fetchesFor(
  runtime: OnnxRuntime,
  contract: DetectorContract,
  feeds: readonly [Values, Values],
  { batch, channels, signals }: { batch: number; channels: number; signals: number },
): [Values, Values] {
  const values: Values = {
    score: zeros(runtime, [batch, signals]),
    contributions: zeros(runtime, [batch, channels]),
  };
  const writing = (target: Values): Values => ({
    ...values,
    ...Object.fromEntries(contract.state.map(({ name }) => [`state.${name}.next`, target[`state.${name}`]!])),
  });
  return [writing(feeds[1]), writing(feeds[0])];
}

/** Sizes that the graph leaves open show only when it runs. @returns S */
async function tryOnZeros(
  session: InferenceSession,
  feeds: Values,
  { batch, channels }: { batch: number; channels: number },
): Promise<number> {
  let results: InferenceSession.OnnxValueMapType;
  try {
    results = await session.run(feeds);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new InvalidGraphError(`The model does not run on a window of zeros: ${reason}`, { cause });
  }
  const { dims: score } = results['score'] as Tensor;
  const { dims: contributions } = results['contributions'] as Tensor;
  const problems = [];
  if (score.length !== 2 || score[0] !== batch || score[1]! < 1 || score[1]! > MOST_SIGNALS) {
    problems.push({
      path: 'output score',
      message: `came out as [${score.join(', ')}], must be [${batch}, 1 to ${MOST_SIGNALS}]`,
    });
  }
  if (contributions.length !== 2 || contributions[0] !== batch || contributions[1] !== channels) {
    problems.push({
      path: 'output contributions',
      message: `came out as [${contributions.join(', ')}], must be [${batch}, ${channels}]`,
    });
  }
  if (problems.length > 0) {
    const list = problems.map(({ path, message }) => `${path} ${message}`).join('; ');
    throw new DetectorContractError(`The graph is no detector: ${list}`, { problems });
  }
  return score[1]!;
}
