import {
  encodeArtifact,
  inspectOptimised,
  quantizeInt4,
  quantizeInt8,
  quantizeInt8Dynamic,
  scoreWindows,
  sparsify,
  toFp16,
} from '@drover/factory';
import type { WindowSet } from '@drover/factory';
import { decodeModel, encodeModel } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { BenchFailedError } from '../harness/bench-failed.ts';
import type { Measure } from '../harness/bench.ts';
import { autoencoderModel } from '../inference/trial-models.ts';
import { race } from './interleaved.ts';

const CALIBRATION = 256;
const PROBES = 256;
const MOST_INT8_SIZE = 0.3;
/** What structured pruning leaves. */
const HALVED = 'half of the neurons';
const LEAST_PRUNED_SPEED = 1.5;

/**
 * What compression does to a dense autoencoder of a megabyte: sizes, speed in turns with fp32, and how far its scores
 * move. Untrained: sizes and speed do not depend on the weights.
 */
export async function measureUntrained(random: () => number): Promise<Measure[]> {
  const { spec, sizeBytes } = autoencoderModel(random);
  const { window, channels } = spec.signature;
  const shape = { window, channels: channels.length };
  if (typeof spec.model === 'string') throw new BenchFailedError('The model is in a file');
  const model = decodeModel(spec.model);
  const variants: Readonly<Record<string, ValidModel>> = {
    fp32: model,
    fp16: toFp16(model),
    int8: (await quantizeInt8(model, noise(shape, CALIBRATION, random))).model,
    'int8-dynamic': quantizeInt8Dynamic(model),
    'int4, blocks of 32': quantizeInt4(model, { blockSize: 32 }),
    'int4, blocks of 128': quantizeInt4(model, { blockSize: 128 }),
  };
  const files = Object.entries(variants).map(([name, variant]) => ({ name, model: encodeModel(variant) }));
  const halved = autoencoderModel(random, 0.5).spec.model as Uint8Array;
  const speeds = await race([...files, { name: HALVED, model: halved }], shape);
  const probes = noise(shape, PROBES, random);
  const { score: exact } = await scoreWindows(spec.model, probes);
  const measures: Measure[] = [];
  for (const { name, model: bytes } of files) {
    const { p50Us, ratio } = speeds.get(name)!;
    if (name === 'fp32') {
      measures.push({ metric: 'autoencoder: fp32 size', value: sizeBytes / 1_000, unit: 'kB' });
      measures.push({ metric: 'autoencoder: fp32 p50', value: p50Us, unit: 'us' });
      continue;
    }
    const { score } = await scoreWindows(bytes, probes);
    const { leftoverDequantize, casts } = await inspectOptimised(variants[name]!);
    const goals = name === 'int8';
    measures.push(
      {
        metric: `autoencoder: ${name} size`,
        value: bytes.length / 1_000,
        unit: 'kB',
        peer: { name: 'kB fp32', value: sizeBytes / 1_000 },
        ratio: bytes.length / sizeBytes,
        ...(goals ? { goal: `<= ${MOST_INT8_SIZE} x fp32`, ok: bytes.length <= MOST_INT8_SIZE * sizeBytes } : {}),
      },
      {
        metric: `autoencoder: ${name} p50`,
        value: p50Us,
        unit: 'us',
        peer: { name: 'us fp32', value: speeds.get('fp32')!.p50Us },
        ratio,
        ...(goals ? { goal: '<= 1 x fp32', ok: ratio <= 1 } : {}),
      },
      { metric: `autoencoder: ${name} score error, mean`, value: 100 * meanError(score, exact), unit: '%' },
      {
        metric: `autoencoder: ${name} nodes not fused`,
        value: leftoverDequantize.length + casts.length,
        unit: '',
        goal: '0',
        ok: leftoverDequantize.length + casts.length === 0,
      },
    );
  }
  const pruned = speeds.get(HALVED)!;
  measures.push(against(`autoencoder: ${HALVED} size`, halved.length / 1_000, 'kB', sizeBytes / 1_000), {
    ...against(`autoencoder: ${HALVED} p50`, pruned.p50Us, 'us', speeds.get('fp32')!.p50Us),
    ratio: pruned.ratio,
    goal: `${LEAST_PRUNED_SPEED} x as fast`,
    ok: 1 / pruned.ratio >= LEAST_PRUNED_SPEED,
  });
  return [...measures, ...sparseMeasures(model, sizeBytes)];
}

function against(metric: string, value: number, unit: string, fp32: number): Measure {
  return { metric, value, unit, peer: { name: `${unit} fp32`, value: fp32 }, ratio: value / fp32 };
}

function sparseMeasures(model: ValidModel, sizeBytes: number): Measure[] {
  return [0.5, 0.8].map((share) => {
    const { bytes, encoding } = encodeArtifact(encodeModel(sparsify(model, share)));
    return {
      metric: `autoencoder: ${100 * share} % of weights zero, as sent (${encoding})`,
      value: bytes.length / 1_000,
      unit: 'kB',
      peer: { name: 'kB fp32', value: sizeBytes / 1_000 },
      ratio: bytes.length / sizeBytes,
    };
  });
}

function noise(shape: { window: number; channels: number }, count: number, random: () => number): WindowSet {
  const size = shape.window * shape.channels * count;
  return { ...shape, count, overlap: 0, data: Float32Array.from({ length: size }, () => 2 * random() - 1) };
}

function meanError(values: Float32Array, exact: Float32Array): number {
  return values.reduce((sum, value, n) => sum + Math.abs(value / exact[n]! - 1), 0) / values.length;
}
