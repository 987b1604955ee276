import { randomBytes } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import { decodeModel, encodeModel, initializerOf, tensorValues } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scoreWindows } from '../detector-session.ts';
import { InvalidTrainingOptionsError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import { encodeArtifact } from './encode-artifact.ts';
import { convNetwork, denseNetwork, matMulNetwork, waves } from './networks.fixture.ts';
import { sparsify, sparsifyFitted } from './sparsify.ts';

describe('unstructured pruning', () => {
  it.each([denseNetwork, convNetwork])('sets the smallest weights of each layer to zero: %o', (make) => {
    const model = make(seededRandom(1));
    const { graph } = sparsify(model, 0.6);
    const layers = graph.initializer.filter(({ name = '' }) => name.endsWith('/sparse'));
    expect(layers.length).toBeGreaterThan(2);
    for (const layer of layers) {
      const before = tensorValues(initializerOf(model.graph, layer.name!.replace('/sparse', ''))!);
      const after = tensorValues(layer);
      const kept = before.filter((_, i) => after[i] !== 0).map(Math.abs);
      const gone = before.filter((_, i) => after[i] === 0).map(Math.abs);
      expect(gone.length / before.length).toBeCloseTo(0.6, 2);
      expect(Math.min(...kept)).toBeGreaterThanOrEqual(Math.max(...gone));
    }
  });

  it('hardly changes scores when few weights go', async () => {
    const random = seededRandom(2);
    const model = denseNetwork(random);
    const windows = waves(random, 32);
    const exact = await scoreWindows(encodeModel(model), windows);
    const pruned = await scoreWindows(encodeModel(sparsify(model, 0.05)), windows);
    for (const [n, value] of exact.score.entries()) expect(pruned.score[n]! / value).toBeCloseTo(1, 1);
  });

  it.each([
    [denseNetwork, 0.6],
    [matMulNetwork, 0.6],
    // Only its dense part is fitted.
    [convNetwork, 0.9],
  ])('keeps scores better when the rest is fitted: %o', async (make, part) => {
    const random = seededRandom(5);
    const model = make(random);
    const fresh = waves(random, 64);
    const { score: exact } = await scoreWindows(encodeModel(model), fresh);
    const errorOf = async (sparse: ValidModel): Promise<number> => {
      const { score } = await scoreWindows(encodeModel(sparse), fresh);
      return score.reduce((sum, value, n) => sum + Math.abs(value / exact[n]! - 1), 0) / score.length;
    };
    const fitted = await sparsifyFitted(model, 0.5, waves(random, 400));
    expect(await errorOf(fitted)).toBeLessThan(part * (await errorOf(sparsify(model, 0.5))));
    for (const { name = '', dims, rawData } of fitted.graph.initializer) {
      if (!name.endsWith('/fitted')) continue;
      expect(dims).toHaveLength(2);
      const values = new Float32Array(Uint8Array.from(rawData!).buffer);
      expect(values.filter((value) => value === 0).length / values.length).toBeCloseTo(0.5, 2);
    }
  });

  it('fits nothing without windows, and nothing that would only fit the windows at hand', async () => {
    const random = seededRandom(6);
    const model = denseNetwork(random);
    const plain = encodeModel(sparsify(model, 0.5));
    expect(encodeModel(await sparsifyFitted(model, 0.5, waves(random, 0)))).toEqual(plain);
    expect(encodeModel(await sparsifyFitted(model, 0.5, waves(random, 3)))).toEqual(plain);
  });

  it('refuses a share that is none', () => {
    for (const share of [0, 1, -1, NaN]) {
      expect(() => sparsify(denseNetwork(seededRandom(3)), share)).toThrow(InvalidTrainingOptionsError);
    }
  });
});

describe('artifacts', () => {
  it('of sparse models are packed: the more zeros, the smaller', () => {
    const model = denseNetwork(seededRandom(4), [64, 256, 32, 256, 64]);
    const sizes = [0.5, 0.8].map((share) => {
      const bytes = encodeModel(sparsify(model, share));
      const artifact = encodeArtifact(bytes);
      expect(artifact).toMatchObject({ encoding: 'zstd', decodedSizeBytes: bytes.length });
      const unpacked = zstdDecompressSync(artifact.bytes, { maxOutputLength: artifact.decodedSizeBytes! });
      expect(Uint8Array.from(unpacked)).toEqual(bytes);
      expect(() => decodeModel(Uint8Array.from(unpacked))).not.toThrow();
      return artifact.bytes.length / bytes.length;
    });
    expect(sizes[0]).toBeLessThan(0.65);
    expect(sizes[1]).toBeLessThan(0.35);
  });

  it('that would hardly get smaller stay as they are', () => {
    const noise = randomBytes(10_000);
    expect(encodeArtifact(noise)).toEqual({ bytes: noise, encoding: 'identity' });
  });

  it('come back whole, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(255), fc.nat(300)), { maxLength: 20 }), (runs) => {
        const bytes = Uint8Array.from(runs.flatMap(([value, count]) => Array.from({ length: count }, () => value)));
        const { bytes: encoded, encoding, decodedSizeBytes } = encodeArtifact(bytes);
        if (encoding === 'identity') expect(encoded).toBe(bytes);
        else {
          expect(Uint8Array.from(zstdDecompressSync(encoded))).toEqual(bytes);
          expect(decodedSizeBytes).toBe(bytes.length);
          expect(encoded.length).toBeLessThanOrEqual(bytes.length * 0.95);
        }
      }),
    );
  });
});
