import { GoldenMismatchError } from './errors.ts';
import type { DetectorSession } from './detector-session.ts';

/** Windows and what the model made of them where it was built. */
export interface GoldenVectors {
  /** K */
  readonly count: number;
  /** `[K, W, C]` */
  readonly window: Float32Array;
  /** `[K, S]` */
  readonly score: Float32Array;
  /** `[K, C]` */
  readonly contributions: Float32Array;
  /** |got − expected| ≤ absolute + relative × |expected| */
  readonly absoluteTolerance: number;
  readonly relativeTolerance: number;
}

export interface GoldenReport {
  readonly windows: number;
  /** Largest deviation as a share of what is allowed; at most 1. */
  readonly worst: number;
}

/** float32 little-endian bytes in base64, as manifests carry them. @throws GoldenMismatchError when it is no whole number of values */
export function decodeFloats(base64: string): Float32Array {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length % 4 !== 0) throw new GoldenMismatchError(`${bytes.length} bytes are no float32 values`);
  const values = new Float32Array(bytes.length / 4);
  for (let i = 0; i < values.length; i += 1) values[i] = bytes.readFloatLE(i * 4);
  return values;
}

/**
 * Runs the golden windows one by one, as the device runs live ones, each from empty state, with all values measured and
 * the neutral calibration.
 *
 * @throws GoldenMismatchError naming the first value outside of its tolerance
 */
export async function checkGolden(session: DetectorSession, golden: GoldenVectors): Promise<GoldenReport> {
  const size = session.window.length / session.batch;
  const signals = session.signals;
  const channels = session.contributions.length / session.batch;
  for (const [name, values, expected] of [
    ['window', golden.window, size],
    ['score', golden.score, signals],
    ['contributions', golden.contributions, channels],
  ] as const) {
    if (values.length !== expected * golden.count) {
      throw new GoldenMismatchError(
        `Golden ${name} holds ${values.length} values, must hold ${golden.count} × ${expected}`,
      );
    }
  }
  let worst = 0;
  session.mask?.fill(1);
  session.time?.fill(0);
  for (let k = 0; k < golden.count; k += 1) {
    session.resetState();
    session.window.set(golden.window.subarray(k * size, (k + 1) * size));
    await session.run();
    worst = Math.max(
      worst,
      compare('score', k, session.score.subarray(0, signals), golden.score, golden),
      compare('contributions', k, session.contributions.subarray(0, channels), golden.contributions, golden),
    );
  }
  session.resetState();
  return { windows: golden.count, worst };
}

function compare(
  output: string,
  k: number,
  got: Float32Array,
  all: Float32Array,
  { absoluteTolerance, relativeTolerance }: GoldenVectors,
): number {
  let worst = 0;
  got.forEach((value, i) => {
    const expected = all[k * got.length + i]!;
    const allowed = absoluteTolerance + relativeTolerance * Math.abs(expected);
    const deviation = Math.abs(value - expected);
    // A NaN deviates from everything, from NaN too.
    if (!(deviation <= allowed)) {
      throw new GoldenMismatchError(
        `Golden window ${k}: ${output}[${i}] is ${value}, must be ${expected} within ${allowed.toPrecision(3)}`,
      );
    }
    if (deviation > 0) worst = Math.max(worst, deviation / allowed);
  });
  return worst;
}
