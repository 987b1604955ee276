import { createHash } from 'node:crypto';
import { MAX_MANIFEST_BYTES, manifestSchema } from '@drover/contracts';
import type { GoldenOutputs } from '@drover/contracts';
import { decodeModel } from '@drover/onnx';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { InconsistentRecordingError, UnusableDataError } from '../errors.ts';
import { FIXTURE_CHANNELS, machineRecording } from '../machine.fixture.ts';
import { buildRelease } from './build-release.ts';
import type { BuildOptions, BuildProgress, BuiltRelease, NamedRecording } from './release-options.ts';

const normal = machineRecording(700, 1);
const labelled = machineRecording(900, 2, [
  { channel: 2, fromRow: 300, toRow: 400, offset: 0.4 },
  { channel: 1, fromRow: 600, toRow: 720, offset: -25 },
]);
const train = (...recordings: NamedRecording[]): BuildOptions['source'] => ({
  kind: 'train',
  recordings,
  family: { name: 'pca' },
});
const options: BuildOptions = {
  source: train(normal),
  evaluation: [{ recording: labelled }],
  window: 8,
  units: { pressure: 'bar' },
};

function floats(base64: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);
}

/** Runs the golden windows as a device with another build would: with no graph optimisation at all. */
async function goldenDifferences(
  { manifestDraft }: BuiltRelease,
  bytes: Uint8Array,
  expected: GoldenOutputs,
): Promise<number> {
  const { golden, signature } = manifestDraft;
  const session = await ort.InferenceSession.create(bytes, {
    graphOptimizationLevel: 'disabled',
    intraOpNumThreads: 1,
  });
  const dims = [golden.count, signature.window, signature.channels.length];
  const results = await session.run({ window: new ort.Tensor('float32', floats(golden.window), dims) });
  await session.release();
  let outside = 0;
  for (const name of ['score', 'contributions'] as const) {
    const got = (results[name] as ort.Tensor).data as Float32Array;
    for (const [i, value] of floats(expected[name]).entries()) {
      const allowed = expected.absoluteTolerance + expected.relativeTolerance * Math.abs(value);
      if (!(Math.abs(got[i]! - value) <= allowed)) outside += 1;
    }
  }
  return outside;
}

function bytesOf(release: BuiltRelease, digest: string | undefined): Uint8Array {
  return release.artifacts.find((artifact) => artifact.digest === digest)!.bytes;
}

describe('a built release', async () => {
  const release = await buildRelease(options);
  const { manifestDraft, artifacts, report } = release;

  it('has a manifest that only lacks its identity', () => {
    const manifest = {
      ...manifestDraft,
      fleet: 'default',
      model: { id: 'pump', name: 'Pump' },
      release: { id: 'r1', version: 1 },
      createdAt: '2026-11-23T12:00:00Z',
    };
    expect(manifestSchema.parse(manifest)).toEqual(manifest);
    expect(JSON.stringify(manifest).length).toBeLessThan(MAX_MANIFEST_BYTES / 100);
    expect(manifest.signature.channels.map(({ name }) => name)).toEqual(FIXTURE_CHANNELS);
    expect(manifest.signature.channels[0]).toMatchObject({ unit: 'bar', kind: 'numeric' });
    expect(manifest.signature).toMatchObject({ window: 8, stride: 1, rateHz: 1, maxGapMs: 10_000 });
  });

  it('has the artifact of every variant, named by its digest', () => {
    expect(manifestDraft.variants.map(({ name }) => name)).toEqual(['fp32', 'int8']);
    for (const { artifacts: refs } of manifestDraft.variants) {
      const bytes = bytesOf(release, refs[0]?.digest);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(refs[0]?.digest);
      expect(refs[0]).toMatchObject({ role: 'model', sizeBytes: bytes.length });
    }
    expect(artifacts).toHaveLength(2);
  });

  it('has graphs by the detector contract', () => {
    for (const { bytes } of artifacts) {
      const { graph } = decodeModel(bytes);
      expect(graph.input.map(({ name }) => name)).toEqual(['window']);
      expect(graph.output.map(({ name }) => name)).toEqual(['score', 'contributions']);
      expect(graph.input[0]?.type?.tensorType?.shape?.dim[0]?.dimParam).toBe('N');
    }
  });

  it('has golden vectors that its own model reproduces on another build, and another model does not', async () => {
    const other = await buildRelease({ ...options, source: train(machineRecording(700, 9)) });
    for (const [i, variant] of manifestDraft.variants.entries()) {
      const bytes = bytesOf(release, variant.artifacts[0]?.digest);
      expect(await goldenDifferences(release, bytes, variant.golden)).toBe(0);
      const foreign = bytesOf(other, other.manifestDraft.variants[i]?.artifacts[0]?.digest);
      expect(await goldenDifferences(release, foreign, variant.golden)).toBeGreaterThan(5);
    }
    const [fp32, int8] = manifestDraft.variants;
    expect(
      await goldenDifferences(release, bytesOf(release, int8?.artifacts[0]?.digest), fp32!.golden),
    ).toBeGreaterThan(0);
  });

  it('has golden windows on both sides of the threshold', () => {
    for (const { golden, policy } of manifestDraft.variants) {
      const scores = floats(golden.score);
      const limit = policy.kind === 'threshold' ? policy.threshold : Number.NaN;
      expect(scores.some((score) => score < limit)).toBe(true);
      expect(scores.some((score) => score > limit)).toBe(true);
    }
  });

  it('measures detection on the labelled recording, and int8 decides as fp32 does', () => {
    for (const { metrics } of manifestDraft.variants) {
      expect(metrics.f1).toBeGreaterThan(0.85);
      expect(metrics.far).toBeLessThan(0.1);
      expect(metrics.scoreQuantiles?.['p99']).toBeLessThan(1.4);
    }
    expect(manifestDraft.variants[0]?.metrics.agreement).toBeUndefined();
    expect(manifestDraft.variants[1]?.metrics.agreement).toBeGreaterThan(0.98);
  });

  it('reports that int8 is fully fused and smaller', () => {
    const [fp32, int8] = report.variants;
    expect(int8?.optimised.leftoverDequantize).toEqual([]);
    expect(int8?.optimised.casts).toEqual([]);
    expect(int8?.sizeBytes).toBeLessThan(fp32?.sizeBytes ?? 0);
    expect(report.warnings).toEqual([
      'The recordings have no times: one sample a second was assumed.',
      expect.stringMatching(/^Made for a rate of 1 Hz and windows of 8 samples/),
    ]);
  });

  it('measures events, delay and false alarms, and what int8 loses', () => {
    const [fp32, int8] = manifestDraft.variants;
    expect(fp32?.metrics).toMatchObject({ measuredOn: 'labelled', eventRecall: 1 });
    expect(fp32?.metrics.vusPr).toBeGreaterThan(0.9);
    expect(fp32?.metrics.detectionDelayMs).toBeLessThan(8_000);
    expect(fp32?.metrics.vusPrLoss).toBeUndefined();
    expect(Math.abs(int8?.metrics.vusPrLoss ?? 1)).toBeLessThan(0.01);
    expect(fp32?.metrics.falseAlarmsPerDay).toBeGreaterThanOrEqual(0);
  });

  it('is the same again for the same input, and does not depend on labels or units', async () => {
    const { labels: _labels, ...unlabelled } = normal;
    const again = await buildRelease({ ...options, source: train(unlabelled), units: {} });
    expect(again.artifacts).toEqual(artifacts);
    expect(again.manifestDraft.variants).toEqual(manifestDraft.variants);
  });
});

describe('building a release', () => {
  it('holds rows out to measure on where nothing is labelled', async () => {
    const { evaluation: _evaluation, ...rest } = options;
    const { manifestDraft, card } = await buildRelease(rest);
    const [fp32, int8] = manifestDraft.variants;
    expect(card.data.trainedOn).toEqual([{ name: 'recording 1', rows: 560, digest: null }]);
    expect(card.data.evaluatedOn).toMatchObject([{ name: 'recording 1', rows: 140 }]);
    expect(card.limits).toContainEqual(expect.stringMatching(/held out/));
    expect(card.limits).toContainEqual(expect.stringMatching(/^Measured on \d+ synthetic faults only/));
    expect(fp32?.metrics.measuredOn).toBe('synthetic');
    expect(fp32?.metrics.vusPr).toBeGreaterThan(0.3);
    expect(int8?.metrics.agreement).toBeGreaterThan(0.97);
    // What is held out is not trained on: spoiling it changes no weight.
    const spoiled = { ...normal, values: normal.values.map((value, i) => (i >= 560 * 4 ? value * 3 : value)) };
    const other = await buildRelease({ ...rest, source: train(spoiled), variants: ['fp32'] });
    expect(other.manifestDraft.variants[0]?.artifacts).toEqual(fp32?.artifacts);
  });

  it('finds the rate in the times', async () => {
    const timesMs = Float64Array.from({ length: 700 }, (_, row) => 1_700_000_000_000 + row * 250);
    const { manifestDraft } = await buildRelease({ source: train({ ...normal, timesMs }), variants: ['fp32'] });
    expect(manifestDraft.signature).toMatchObject({ rateHz: 4, maxGapMs: 2_500, window: 16 });
    expect(manifestDraft.variants.map(({ name }) => name)).toEqual(['fp32']);
  });

  it('trains only on the rows it is told to', async () => {
    const spoiled = { ...normal, values: normal.values.map((value, i) => (i >= 500 * 4 ? 1e6 : value)) };
    const first = (recording: NamedRecording): BuildOptions => ({
      ...options,
      source: { kind: 'train', recordings: [recording], family: { name: 'pca' }, trainRows: 500 },
    });
    const limited = await buildRelease(first(spoiled));
    const clean = await buildRelease(first(normal));
    expect(limited.artifacts).toEqual(clean.artifacts);
  });

  it('names channels that are not watched and windows set aside', async () => {
    const fault = { channel: 2, fromRow: 300, toRow: 330, offset: 0.5 };
    const recording = machineRecording(700, 1, [fault]);
    const still = { ...recording, values: recording.values.map((value, i) => (i % 4 === 0 ? 5 : value)) };
    const { card } = await buildRelease({ ...options, source: train(still) });
    expect(card.limits).toContain('Never changes in the training data, so it is not watched: pressure.');
    expect(card.limits).toContainEqual(expect.stringMatching(/^\d+ of 693 training windows look abnormal/));
    expect(card.data.setAside).toBeGreaterThan(20);
  });

  it('tells its progress and stops when it is told to', async () => {
    const seen: BuildProgress[] = [];
    await buildRelease({ ...options, onProgress: (progress) => seen.push(progress) });
    expect(seen.map(({ percent }) => percent)).toEqual(seen.map(({ percent }) => percent).toSorted((a, b) => a - b));
    expect([...new Set(seen.map(({ phase }) => phase))]).toEqual([
      'preparing',
      'training',
      'compressing',
      'measuring',
      'done',
    ]);
    expect(seen.at(-1)).toEqual({ percent: 100, phase: 'done' });
    const controller = new AbortController();
    const stopped = buildRelease({ ...options, signal: controller.signal, onProgress: () => controller.abort() });
    await expect(stopped).rejects.toThrow(/abort/i);
  });

  it('refuses channels without values, and recordings that do not fit together', async () => {
    const empty = { ...normal, values: normal.values.map((value, i) => (i % 4 === 1 ? Number.NaN : value)) };
    await expect(buildRelease({ ...options, source: train(empty) })).rejects.toThrow(UnusableDataError);
    await expect(buildRelease({ ...options, source: train(empty) })).rejects.toThrow(/flow/);
    const foreign = { ...labelled, channels: ['a', 'b', 'c', 'd'] };
    await expect(buildRelease({ ...options, evaluation: [{ recording: foreign }] })).rejects.toThrow(
      InconsistentRecordingError,
    );
  });

  it('refuses kinds that need a network where there is none, if they were asked for', async () => {
    await expect(buildRelease({ ...options, variants: ['pruned'] })).rejects.toThrow(
      'pruned variants need a neural network that was trained here; pca has none.',
    );
  });

  it('names the channel that does not fit a manifest', async () => {
    const long = { ...normal, channels: ['x'.repeat(100), 'b', 'c', 'd'] };
    await expect(buildRelease({ source: train(long), window: 8 })).rejects.toMatchObject({
      problems: [{ path: 'signature.channels.0.name' }],
    });
  });
});
