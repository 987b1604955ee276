import { compressionContractSchema } from '@drover/contracts';
import { array, assert, constantFrom, double, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { machineRecording } from '../machine.fixture.ts';
import { seededRandom } from '../random.ts';
import { windowsOf } from '../window-set.ts';
import { assembleRelease } from './assemble-release.ts';
import type { Assembly } from './assemble-release.ts';
import { refusalsOf } from './contract.ts';
import { calibrationWindows, probeWindows } from './make-variants.ts';
import { trackProgress } from './progress.ts';
import type { TrainSource } from './release-options.ts';
import { trainSource } from './train-source.ts';
import { planKinds } from './variant-kinds.ts';

const contract = compressionContractSchema.parse({});

describe('the compression contract', () => {
  it('refuses a loss of VUS-PR over the term, and allows one up to it', () => {
    expect(refusalsOf('int8', 'int8', { vusPrLoss: 0.01, agreement: 0.99 }, contract)).toEqual([]);
    expect(refusalsOf('int8', 'int8', { vusPrLoss: 0.0101, agreement: 0.99 }, contract)).toEqual([
      {
        rule: 'vus-pr-loss',
        value: 0.0101,
        limit: 0.01,
        message: 'int8: VUS-PR is 0.0101 below that of fp32, at most 0.0100 is allowed.',
      },
    ]);
  });

  it('refuses decisions that differ too often, where the term asks for agreement', () => {
    const metrics = { vusPrLoss: 0.02, agreement: 0.9 };
    expect(refusalsOf('x', 'int8', metrics, contract).map(({ rule }) => rule)).toEqual(['vus-pr-loss', 'agreement']);
    expect(refusalsOf('x', 'int4', metrics, contract)).toEqual([]);
  });

  it('refuses a student that is not better than the same network alone', () => {
    const metrics = { vusPr: 0.7, vusPrLoss: 0.01 };
    expect(refusalsOf('student', 'distilled', metrics, contract, 0.69)).toEqual([]);
    for (const alone of [0.7, 0.8]) {
      expect(refusalsOf('student', 'distilled', metrics, contract, alone)).toMatchObject([
        { rule: 'worse-than-alone', value: 0.7, limit: alone },
      ]);
    }
  });

  it('never refuses fp32, nor for what was not measured', () => {
    const share = double({ min: 0, max: 1, noNaN: true });
    assert(
      property(record({ vusPr: share, vusPrLoss: share, agreement: share }), share, (metrics, alone) => {
        expect(refusalsOf('fp32', 'fp32', metrics, contract, alone)).toEqual([]);
      }),
    );
    assert(
      property(array(constantFrom('int8', 'pruned', 'distilled')), (kinds) => {
        for (const kind of kinds) expect(refusalsOf(kind, kind as 'int8', {}, contract, 0.5)).toEqual([]);
      }),
    );
  });
});

describe('a release whose int8 was calibrated with other data', async () => {
  const source: TrainSource = { kind: 'train', recordings: [machineRecording(700, 1)], family: { name: 'pca' } };
  const prepared = await trainSource(source, { source, window: 8 }, { seed: 1 }, seededRandom(1));
  const assembly: Assembly = {
    prepared,
    kinds: planKinds(prepared.detector),
    calibration: calibrationWindows(prepared, seededRandom(2)),
    probes: probeWindows(prepared, seededRandom(4)),
    contract,
    seed: 1,
    forGolden: seededRandom(3),
    progress: trackProgress({}),
    options: {},
  };
  const still = machineRecording(700, 1);
  // A machine that stood still: every range is far too narrow for one that runs.
  const wrong = { ...still, values: still.values.map((_, i) => [5, 120, 1.8, 60][i % 4]! + 1e-3 * Math.sin(i)) };
  const sabotaged = await assembleRelease({
    ...assembly,
    forGolden: seededRandom(3),
    calibration: windowsOf([wrong], prepared.detector.shape, undefined, 256),
  });

  it('is offered without the int8 variant, and says why with numbers', async () => {
    const honest = await assembleRelease(assembly);
    expect(honest.manifestDraft.variants.map(({ name }) => name)).toEqual(['fp32', 'int8']);
    expect(honest.card.variants.every(({ offered, refusals }) => offered && refusals.length === 0)).toBe(true);

    expect(sabotaged.manifestDraft.variants.map(({ name }) => name)).toEqual(['fp32']);
    const int8 = sabotaged.card.variants.find(({ name }) => name === 'int8')!;
    expect(int8.offered).toBe(false);
    expect(int8.refusals.map(({ rule }) => rule)).toContain('vus-pr-loss');
    for (const { value, limit, message } of int8.refusals) {
      expect(value).not.toBe(limit);
      expect(message).toMatch(/^int8: .*\d/);
      expect(sabotaged.card.limits).toContain(`Not offered: ${message}`);
    }
    expect(int8.metrics.vusPrLoss).toBeGreaterThan(0.05);
  });

  it('keeps its artifact to look at', () => {
    const int8 = sabotaged.card.variants.find(({ name }) => name === 'int8')!;
    expect(sabotaged.artifacts.map(({ digest }) => digest)).toContain(int8.digest);
    expect(JSON.stringify(sabotaged.manifestDraft)).not.toContain(int8.digest);
  });
});
