import { GoldenMismatchError } from '@drover/inference';
import { describe, expect, it } from 'vitest';
import { machineRecording } from '../machine.fixture.ts';
import { checkAsAgent, fileOf } from './agent-check.fixture.ts';
import { buildRelease } from './build-release.ts';
import type { BuildOptions, BuildProgress } from './release-options.ts';

const labelled = machineRecording(700, 2, [
  { channel: 2, fromRow: 300, toRow: 380, offset: 0.6 },
  { channel: 1, fromRow: 500, toRow: 560, offset: -40 },
]);

function building(family: string, options: Record<string, unknown>): BuildOptions {
  return {
    source: { kind: 'train', recordings: [machineRecording(600, 1)], family: { name: family, options } },
    evaluation: [{ recording: labelled }],
    window: 8,
  };
}

describe('a release of a neural family', async () => {
  const progress: BuildProgress[] = [];
  const release = await buildRelease({
    ...building('dense-ae', { epochs: 12 }),
    // Everything is offered: what is tested is that each kind works.
    contract: Object.fromEntries(
      ['fp16', 'int8', 'int8-dynamic', 'int4', 'pruned', 'sparse', 'distilled'].map((kind) => [
        kind,
        { maxVusPrLoss: 1 },
      ]),
    ) as NonNullable<BuildOptions['contract']>,
    onProgress: (step) => progress.push(step),
  });
  const { manifestDraft, card } = release;

  it('has every kind of variant, smaller ones also in int8', () => {
    expect(manifestDraft.variants.map(({ name, precision, size }) => [name, precision, size])).toEqual([
      ['fp32', 'fp32', 'full'],
      ['fp16', 'fp16', 'full'],
      ['int8', 'int8', 'full'],
      ['int8-dynamic', 'int8-dynamic', 'full'],
      ['int4', 'int4', 'full'],
      ['sparse-50', 'fp32', 'sparse-50'],
      ['pruned-50', 'fp32', 'pruned-50'],
      ['pruned-50-int8', 'int8', 'pruned-50'],
    ]);
  });

  it('has golden vectors that the agent reproduces for each, and refuses for another', async () => {
    for (const variant of manifestDraft.variants) {
      expect((await checkAsAgent(release, variant)).worst).toBeLessThanOrEqual(1);
    }
    const [fp32] = manifestDraft.variants;
    const pruned = manifestDraft.variants.find(({ name }) => name === 'pruned-50')!;
    await expect(checkAsAgent(release, fp32!, fileOf(release, pruned))).rejects.toThrow(GoldenMismatchError);
  });

  it('measures each, and compares it with fp32', () => {
    const [fp32, ...others] = card.variants;
    expect(fp32?.metrics.vusPr).toBeGreaterThan(0.5);
    for (const { name, metrics } of others) {
      expect(metrics.vusPrLoss, name).toBeLessThan(0.2);
      expect(metrics.vusPrLoss).toBeCloseTo(fp32!.metrics.vusPr! - metrics.vusPr!, 12);
      expect(metrics.agreement, name).toBeGreaterThan(0.8);
    }
    const agreement = (name: string): number => others.find((variant) => variant.name === name)!.metrics.agreement!;
    expect(agreement('fp16')).toBeGreaterThan(0.99);
  });

  it('counts what each takes', () => {
    const costs = Object.fromEntries(card.variants.map(({ name, cost, sizeBytes }) => [name, { ...cost, sizeBytes }]));
    expect(costs['int8']!.sizeBytes).toBeLessThan(costs['fp32']!.sizeBytes);
    expect(costs['int8']!.peakMemoryBytes).toBeLessThan(costs['fp32']!.peakMemoryBytes);
    expect(costs['sparse-50']!.sizeBytes).toBeLessThan(0.8 * costs['fp32']!.sizeBytes);
    expect(costs['pruned-50']!.multiplyAccumulates).toBeLessThan(0.7 * costs['fp32']!.multiplyAccumulates);
    expect(costs['pruned-50']!.parameters).toBeLessThan(0.7 * costs['fp32']!.parameters);
  });

  it('sends the sparse one packed', () => {
    const sparse = manifestDraft.variants.find(({ name }) => name === 'sparse-50')!;
    expect(sparse.artifacts[0]).toMatchObject({ encoding: 'zstd', decodedSizeBytes: fileOf(release, sparse).length });
    expect(manifestDraft.variants[0]?.artifacts[0]).toMatchObject({ encoding: 'identity' });
  });

  it('tells the loss while it trains', () => {
    const losses = progress.filter(({ phase, loss }) => phase === 'training' && loss !== undefined);
    expect(losses.length).toBeGreaterThan(5);
    expect(progress.some(({ phase, loss }) => phase === 'compressing' && loss !== undefined)).toBe(true);
  });
});

describe('a release with a student', { timeout: 120_000 }, () => {
  it('offers it only if it beats the same network trained alone', async () => {
    const { card, manifestDraft } = await buildRelease({
      ...building('conv', { epochs: 6 }),
      variants: ['distilled'],
    });
    const student = card.variants.find(({ name }) => name === 'student')!;
    expect(student.size).toBe('student');
    expect(student.cost.parameters).toBeLessThan(card.variants[0]!.cost.parameters / 5);
    expect(manifestDraft.variants.some(({ name }) => name === 'student')).toBe(student.offered);
    expect(student.offered).toBe(student.refusals.length === 0);
  });
});

describe('a release of a family with state', () => {
  it('has golden vectors from empty state and is measured in order', async () => {
    const release = await buildRelease(building('mahalanobis', {}));
    const { manifestDraft, card } = release;
    expect(card.variants[0]?.metrics.vusPr).toBeGreaterThan(0.5);
    expect(card.variants.length).toBeGreaterThan(1);
    for (const variant of manifestDraft.variants) await checkAsAgent(release, variant);
  });
});
