import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  FAMILIES,
  quantizeInt4,
  quantizeInt8,
  quantizeInt8Dynamic,
  recordingRows,
  sparsify,
  toFp16,
  trainFamily,
} from '@drover/factory';
import type { TrainedDetector } from '@drover/factory';
import { encodeModel, GraphBuilder } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { bundledRecordings, loadRecording } from '@drover/recordings';

/** The reference library, as Debian has it. Another Python in the PATH need not have it. */
const PYTHON = '/usr/bin/python3';
const SCRIPT = join(import.meta.dirname, 'check-onnx.py');
const ROWS = 600;

interface Verdict {
  readonly ok: boolean;
  readonly error?: string;
  /** Domains of operators that the checker does not know. */
  readonly foreign: readonly string[];
  /** Share of the values whose shape it found; null with operators that it does not know. */
  readonly inferred: number | null;
}

const version = spawnSync(PYTHON, [SCRIPT], { encoding: 'utf8' });
const missing = version.status !== 0;
if (missing) console.warn('Skipped: no python3-onnx on this machine (Debian: apt install python3-onnx).');

/** Trained with as little as will do: what is checked is the form of the graphs. */
const QUICK: Readonly<Record<string, Record<string, number>>> = {
  'dense-ae': { epochs: 2, folds: 2 },
  conv: { epochs: 2, folds: 2 },
};

/** Every way to make a variant out of a trained graph. */
const VARIANTS: Readonly<Record<string, (detector: TrainedDetector) => ValidModel | Promise<ValidModel>>> = {
  fp16: ({ graph }) => toFp16(graph),
  int8: async ({ graph, trainedOn }) => (await quantizeInt8(graph, trainedOn)).model,
  'int8-dynamic': ({ graph }) => quantizeInt8Dynamic(graph),
  int4: ({ graph }) => quantizeInt4(graph),
  sparse: ({ graph }) => sparsify(graph, 0.5),
};

describe.skipIf(missing)('an independent ONNX checker', () => {
  let folder: string;
  const detectors = new Map<string, TrainedDetector>();
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'drover-onnx-'));
    const recording = recordingRows(await loadRecording(bundledRecordings().normal), [0, ROWS]);
    for (const name of Object.keys(FAMILIES)) {
      const data = { recordings: [recording], stride: 1, rateHz: 1, maxGapMs: 10_000 };
      detectors.set(name, await trainFamily({ name, options: QUICK[name] ?? {} }, data, { seed: 1 }));
    }
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function verdictOf(model: ValidModel): Promise<Verdict> {
    const path = join(folder, 'model.onnx');
    await writeFile(path, encodeModel(model));
    const { stdout, stderr } = spawnSync(PYTHON, [SCRIPT, path], { encoding: 'utf8' });
    expect(stdout, stderr).not.toBe('');
    return JSON.parse(stdout) as Verdict;
  }

  it.each(Object.keys(FAMILIES))('accepts the graph of %s, and infers the shape of every value', async (family) => {
    const verdict = await verdictOf(detectors.get(family)!.graph);
    expect(verdict).toMatchObject({ ok: true, foreign: [], inferred: 1 });
  });

  it.each(['dense-ae', 'conv'].flatMap((family) => Object.keys(VARIANTS).map((kind) => [family, kind] as const)))(
    'accepts %s as %s',
    async (family, kind) => {
      const verdict = await verdictOf(await VARIANTS[kind]!(detectors.get(family)!));
      // MatMulNBits is ONNX Runtime's own: of its node the checker sees the names only.
      const foreign = kind === 'int4' ? ['com.microsoft'] : [];
      expect(verdict).toMatchObject({ ok: true, foreign });
      if (kind !== 'int4') expect(verdict.inferred).toBe(1);
    },
  );

  it('would tell: a node with an input too many, a wrong type', async () => {
    const graph = new GraphBuilder('wrong');
    const x = graph.input('x', 1, [2]);
    graph.node('Relu', [x, x], {}, { outputs: ['y'] });
    graph.output('y', 1, [2]);
    const tooMany = await verdictOf(graph.build());
    expect(tooMany).toMatchObject({ ok: false, error: expect.stringContaining('input size 2') });

    const mistyped = new GraphBuilder('mistyped');
    mistyped.node('Relu', [mistyped.input('x', 1, [2])], {}, { outputs: ['y'] });
    mistyped.output('y', 7, [2]);
    expect(await verdictOf(mistyped.build())).toMatchObject({ ok: false });
  });
});
