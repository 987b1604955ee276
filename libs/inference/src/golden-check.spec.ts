import { describe, expect, it } from 'vitest';
import { DetectorSession } from './detector-session.ts';
import { GoldenMismatchError } from './errors.ts';
import { checkGolden, decodeFloats } from './golden-check.ts';
import type { GoldenVectors } from './golden-check.ts';
import { runtime, sampleDetector, sampleSignature } from './sample-detector.fixture.ts';
import type { SampleDetectorOptions } from './sample-detector.fixture.ts';

const vectors: GoldenVectors = {
  count: 2,
  window: new Float32Array([1, 1, 1, 1, 1, 1, 1, 1, 2, 0, 2, 0, 2, 0, 2, 0]),
  score: new Float32Array([1, 2]),
  contributions: new Float32Array([1, 1, 4, 0]),
  absoluteTolerance: 1e-5,
  relativeTolerance: 1e-3,
};

function open(options?: SampleDetectorOptions): Promise<DetectorSession> {
  return DetectorSession.open(runtime, sampleDetector(options), sampleSignature(), { providers: [] });
}

describe('the golden check', () => {
  it('accepts a model that reproduces its vectors', async () => {
    expect(await checkGolden(await open(), vectors)).toEqual({ windows: 2, worst: 0 });
  });

  it('accepts a deviation within the tolerance and tells how much of it was used', async () => {
    const { worst } = await checkGolden(await open({ gain: 1.0005 }), vectors);
    expect(worst).toBeGreaterThan(0.4);
    expect(worst).toBeLessThan(0.6);
  });

  it('refuses another model, and names the value', async () => {
    const failure = checkGolden(await open({ gain: 1.01 }), vectors);
    await expect(failure).rejects.toThrow(/^Golden window 0: score\[0\] is 1\.0\d+, must be 1 within 0\.00101$/);
  });

  it('refuses a NaN, whatever was expected', async () => {
    const window = vectors.window.slice();
    window[3] = Number.NaN;
    const expectingNaN = { ...vectors, window, score: new Float32Array([Number.NaN, 2]) };
    await expect(checkGolden(await open(), { ...vectors, window })).rejects.toThrow(GoldenMismatchError);
    await expect(checkGolden(await open(), expectingNaN)).rejects.toThrow(GoldenMismatchError);
  });

  it('refuses vectors of another size', async () => {
    await expect(checkGolden(await open(), { ...vectors, count: 3 })).rejects.toThrow(/Golden window holds 16 values/);
  });

  it('starts every window without state', async () => {
    const state = { count: 2, window: new Float32Array(16).fill(1), score: new Float32Array([1, 1]) };
    const session = await open({ stateful: true });
    await checkGolden(session, { ...vectors, ...state, contributions: new Float32Array(4).fill(1) });
  });

  it('decodes the floats of a manifest', () => {
    const floats = new Float32Array([1.5, -2, 3e38]);
    expect(decodeFloats(Buffer.from(floats.buffer).toString('base64'))).toEqual(floats);
    expect(() => decodeFloats('AAAAAAA=')).toThrow('5 bytes are no float32 values');
  });
});
