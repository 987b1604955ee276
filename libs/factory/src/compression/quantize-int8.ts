import type { ValidModel } from '@drover/onnx';
import { UnsupportedGraphError } from '../errors.ts';
import type { WindowSet } from '../window-set.ts';
import { chooseRange } from './activation-range.ts';
import type { ChosenRange } from './activation-range.ts';
import { observe } from './calibrate.ts';
import { foldBatchNorm } from './fold-batch-norm.ts';
import { GraphEditor } from './graph-editor.ts';
import { planInt8 } from './int8-plan.ts';
import { Int8Rewriter } from './int8-rewriter.ts';
import { requireOpset } from './require-opset.ts';
import { joinBiases } from './weight-products.ts';

export interface Int8Report {
  /** Names of the nodes that compute in int8 now. */
  readonly quantized: readonly string[];
  /** Range of each quantised activation. */
  readonly ranges: Readonly<Record<string, readonly [low: number, high: number]>>;
  /** How each range was chosen, and what of the calibration's values lies outside. */
  readonly choices: Readonly<Record<string, Pick<ChosenRange, 'method' | 'error' | 'saturated'>>>;
}

export interface Int8Options {
  /** Largest magnitude of a weight, 63 by default; 127 is only right where no processor saturates, see `quantizeWeight`. */
  readonly largestWeight?: number;
}

/** Per-channel QDQ is in the standard since this operator set. */
const LEAST_OPSET = 13;

/**
 * Turns products with constant weights into int8 by the QDQ form: what comes in goes through QuantizeLinear and
 * DequantizeLinear (asymmetric uint8: a symmetric one would not be fused after a Relu), the weights become int8 with one
 * scale per output, a bias becomes int32 in the product's own scale, and all are dequantised in the graph. ONNX Runtime
 * fuses the group into one integer product.
 *
 * `MatMul` and `Gemm` give float, so what follows keeps its full range: an anomaly far outside the calibration data does
 * not saturate there. `Conv` is only fused with a quantised output: that (after a Relu, if one follows) gets a range too,
 * and the last one of a chain leaves a DequantizeLinear behind, where float goes on.
 *
 * @param calibration windows whose activations set the ranges; should hold what an anomaly looks like too
 * @throws UnsupportedGraphError when the graph has nothing to quantise
 */
export async function quantizeInt8(
  model: ValidModel,
  calibration: WindowSet,
  options: Int8Options = {},
): Promise<{ model: ValidModel; report: Int8Report }> {
  requireOpset(model, LEAST_OPSET);
  const prepared = joinBiases(foldBatchNorm(model));
  const editor = new GraphEditor(prepared);
  const plan = planInt8(prepared, editor);
  if (plan.products.size === 0) {
    throw new UnsupportedGraphError('The graph has no MatMul, Gemm or Conv with constant float32 weights.');
  }
  const observed = await observe(prepared, [...plan.ranges], calibration);
  const ranges = new Map([...observed].map(([name, values]) => [name, chooseRange(values)]));
  return {
    model: new Int8Rewriter(editor, plan, ranges, options.largestWeight).run(),
    report: {
      quantized: [...plan.products.keys()].map((node) => node.name ?? node.output[0]!),
      ranges: Object.fromEntries(
        [...ranges].map(([name, { scale, zeroPoint }]) => [name, [-zeroPoint * scale, (255 - zeroPoint) * scale]]),
      ),
      choices: Object.fromEntries(
        [...ranges].map(([name, { method, error, saturated }]) => [name, { method, error, saturated }]),
      ),
    },
  };
}
