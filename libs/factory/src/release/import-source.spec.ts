import { MalformedModelError } from '@drover/onnx';
import { decodeFloats, DetectorContractError } from '@drover/inference';
import { describe, expect, it } from 'vitest';
import {
  InconsistentRecordingError,
  InvalidTrainingOptionsError,
  NotEnoughDataError,
  UnsupportedGraphError,
  UnusableDataError,
} from '../errors.ts';
import { machineRecording } from '../machine.fixture.ts';
import { checkAsAgent } from './agent-check.fixture.ts';
import { buildRelease } from './build-release.ts';
import { foreignGraph, FOREIGN_SIGNATURE } from './foreign-graph.fixture.ts';
import type { ForeignGraph } from './foreign-graph.fixture.ts';
import type { BuildOptions, ImportSource } from './release-options.ts';

const calibration = [{ ...machineRecording(600, 1), name: 'calm' }];
const labelled = machineRecording(700, 2, [
  { channel: 2, fromRow: 300, toRow: 380, offset: 2.5 },
  { channel: 1, fromRow: 500, toRow: 560, offset: -100 },
]);

function importing(graph: ForeignGraph = {}, more: Partial<ImportSource> = {}): BuildOptions {
  return {
    source: { kind: 'import', model: foreignGraph(graph), signature: FOREIGN_SIGNATURE, calibration, ...more },
    evaluation: [{ recording: labelled }],
  };
}

describe('a release of a graph that was brought along', async () => {
  const release = await buildRelease(importing());
  const { manifestDraft, card } = release;

  it('has a threshold found on the calibration data, and works', () => {
    const [fp32] = manifestDraft.variants;
    expect(fp32?.policy).toMatchObject({ kind: 'threshold', minLength: 3 });
    expect(fp32?.metrics).toMatchObject({ measuredOn: 'labelled', eventRecall: 1 });
    expect(fp32?.metrics.f1).toBeGreaterThan(0.8);
    expect(fp32?.metrics.far).toBeLessThan(0.05);
  });

  it('finds the same alarms whatever is added to the score', async () => {
    const shifted = await buildRelease({ ...importing({ offset: 50 }), variants: ['fp32'] });
    const [here, there] = [manifestDraft.variants[0]!, shifted.manifestDraft.variants[0]!];
    const levels = [here, there].map(({ policy }) => (policy.kind === 'threshold' ? policy.threshold : Number.NaN));
    expect(levels[1]! - levels[0]!).toBeCloseTo(50, 2);
    expect(there.metrics.f1).toBeCloseTo(here.metrics.f1!, 1);
  });

  it('keeps signature and names what is not known', () => {
    expect(manifestDraft.family).toBe('imported');
    expect(release.artifacts[0]?.bytes).toEqual(foreignGraph());
    expect(manifestDraft.signature).toEqual(FOREIGN_SIGNATURE);
    expect(card.data.trainedOn).toEqual([{ name: 'calm', rows: 600, digest: null }]);
    expect(card.limits).toContainEqual(expect.stringMatching(/^The model was brought along/));
    expect(card.limits).toContainEqual(expect.stringMatching(/^Its threshold was found/));
  });

  it('has variants like a trained one; those that make no sense are told', () => {
    const names = card.variants.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['fp32', 'int8', 'int8-dynamic', 'int4', 'sparse-50']));
    // Sixteen weights are not worth being stored in half.
    expect(names).not.toContain('fp16');
    expect(card.limits).toContainEqual(expect.stringMatching(/^There is no fp16 variant\. /));
  });

  it('has golden vectors that the agent reproduces', async () => {
    expect(manifestDraft.variants.length).toBeGreaterThan(2);
    for (const variant of manifestDraft.variants) {
      expect((await checkAsAgent(release, variant)).windows).toBe(manifestDraft.golden.count);
    }
  });
});

describe('a release of a graph with state and two signals', async () => {
  const release = await buildRelease(importing({ stateful: true }));

  it('is measured in order and has golden vectors from empty state', async () => {
    const { manifestDraft } = release;
    const [fp32] = manifestDraft.variants;
    expect(fp32?.metrics.eventRecall).toBe(1);
    expect(fp32?.metrics.f1).toBeGreaterThan(0.7);
    expect(decodeFloats(fp32!.golden.score)).toHaveLength(manifestDraft.golden.count * 2);
    for (const variant of manifestDraft.variants) await checkAsAgent(release, variant);
  });

  it('says how long it is silent', () => {
    expect(release.card.limits).toContain('Silent for the first 2 windows after a start.');
  });
});

describe('importing', () => {
  const policy = { kind: 'threshold', threshold: 5, releaseRatio: 0.8, minLength: 2 } as const;

  it('takes a policy as it is given', async () => {
    const { manifestDraft } = await buildRelease({ ...importing({}, { policy }), variants: ['fp32'] });
    expect(manifestDraft.variants[0]?.policy).toEqual(policy);
  });

  it('works without calibration where a policy is given, but makes nothing that needs ranges', async () => {
    const blind = importing({}, { policy, calibration: [] });
    const { card } = await buildRelease(blind);
    expect(card.variants.map(({ name }) => name)).not.toContain('int8');
    expect(card.variants[0]?.metrics.f1).toBeGreaterThan(0.5);
    expect(card.limits).toContainEqual(expect.stringMatching(/golden vectors are of made-up windows/));
    await expect(buildRelease({ ...blind, variants: ['int8'] })).rejects.toThrow(
      'int8 variants cannot be made: there is no calibration data to choose its ranges on.',
    );
    const unmeasured = await buildRelease({ ...blind, evaluation: [] });
    // What cannot be compared is not offered.
    expect(unmeasured.card.variants.map(({ name }) => name)).toEqual(['fp32']);
    expect(unmeasured.card.variants[0]?.metrics.vusPr).toBeUndefined();
    expect(unmeasured.card.limits).toContainEqual(expect.stringMatching(/^Its quality was not measured/));
  });

  it('needs calibration to find a threshold', async () => {
    await expect(buildRelease(importing({}, { calibration: [] }))).rejects.toThrow(InvalidTrainingOptionsError);
    await expect(buildRelease(importing({}, { calibration: [machineRecording(20, 1)] }))).rejects.toThrow(
      NotEnoughDataError,
    );
    const still = { ...machineRecording(300, 1), values: new Float32Array(1_200).fill(3) };
    await expect(buildRelease(importing({}, { calibration: [still] }))).rejects.toThrow(UnusableDataError);
    await expect(buildRelease(importing({ offset: -500 }))).rejects.toThrow(/thresholds are positive/);
  });

  it('says exactly where a graph is no detector', async () => {
    await expect(buildRelease(importing({ score: 'distance' }))).rejects.toMatchObject({
      problems: [{ path: 'output score', message: 'is missing' }],
    });
    await expect(buildRelease(importing({ channels: 3 }))).rejects.toThrow(
      'input window has shape [N, 4, 3], must be [N, 4, 4]',
    );
    await expect(buildRelease(importing({ channels: 3 }))).rejects.toThrow(DetectorContractError);
    await expect(buildRelease(importing({ broken: true }))).rejects.toThrow(UnsupportedGraphError);
  });

  it('names what is wrong with a signature or policy', async () => {
    const signature = { ...FOREIGN_SIGNATURE, window: 0 };
    const wrong = importing({}, { signature, policy: { ...policy, releaseRatio: 2 } });
    await expect(buildRelease(wrong)).rejects.toMatchObject({
      code: 'invalid-input',
      problems: [{ path: 'signature.window' }, { path: 'policy.releaseRatio' }],
    });
  });

  it('refuses bytes that are no model, and recordings of something else', async () => {
    const model = foreignGraph();
    await expect(buildRelease(importing({}, { model: model.slice(0, model.length / 2) }))).rejects.toThrow(
      MalformedModelError,
    );
    await expect(buildRelease(importing({}, { model: new Uint8Array(0) }))).rejects.toThrow(/empty/);
    const renamed = { ...machineRecording(300, 1), channels: ['a', 'b', 'c', 'd'] };
    await expect(buildRelease(importing({}, { calibration: [renamed] }))).rejects.toThrow(InconsistentRecordingError);
  });

  it('refuses a kind that was asked for and that the graph does not allow', async () => {
    await expect(buildRelease({ ...importing(), variants: ['fp16'] })).rejects.toThrow(
      /^A variant of the kind fp16 cannot be made of this model: /,
    );
    await expect(buildRelease({ ...importing(), variants: ['distilled'] })).rejects.toThrow(/need a neural network/);
  });
});
