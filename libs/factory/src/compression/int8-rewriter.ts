import { float32, int32, int8, tensorValues, uint8 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import type { ChosenRange } from './activation-range.ts';
import type { GraphEditor } from './graph-editor.ts';
import type { Int8Plan } from './int8-plan.ts';
import type { WeightProduct } from './weight-products.ts';
import { quantizeWeight } from './weight-quantization.ts';

/** A weight in int8, as the graph has it. */
interface StoredWeight {
  /** Names of the values, scales and zero points: what dequantises them. */
  readonly inputs: readonly string[];
  readonly scales: Float32Array;
}

/** Writes the QDQ form of a graph, node by node. */
export class Int8Rewriter {
  readonly #editor: GraphEditor;
  readonly #plan: Int8Plan;
  readonly #ranges: ReadonlyMap<string, ChosenRange>;
  readonly #largestWeight: number | undefined;
  /** Value → its rounded form, that all its readers get. */
  readonly #forAll = new Map<string, string>();
  /** Value → its rounded form, that only products get. */
  readonly #forProducts = new Map<string, string>();
  readonly #weights = new Map<string, StoredWeight>();

  constructor(
    editor: GraphEditor,
    plan: Int8Plan,
    ranges: ReadonlyMap<string, ChosenRange>,
    largestWeight: number | undefined,
  ) {
    this.#editor = editor;
    this.#plan = plan;
    this.#ranges = ranges;
    this.#largestWeight = largestWeight;
  }

  run(): ValidModel {
    const { products, outputs } = this.#plan;
    for (const node of this.#editor.nodes) {
      const product = products.get(node);
      const input =
        product === undefined
          ? node.input.map((name) => this.#forAll.get(name) ?? name)
          : this.#inputsOf(product, node.output[0]!);
      this.#editor.keep({ ...node, input });
      const output = outputs.get(node);
      if (output !== undefined) this.#forAll.set(output, this.#rounded(output, output));
    }
    return this.#editor.finish();
  }

  #inputsOf(product: WeightProduct, name: string): string[] {
    const { activation, outputAxis, bias } = product;
    const source = this.#plan.rangeOf(activation);
    let input = this.#forAll.get(activation) ?? this.#forProducts.get(activation);
    if (input === undefined) this.#forProducts.set(activation, (input = this.#rounded(activation, source)));
    const inputScale = this.#ranges.get(source)!.scale;
    const { inputs, scales } = this.#storedWeight(product, inputScale);
    // Each product has its own dequantised weight: the fusion wants it to have one reader.
    const weight = this.#editor.node('DequantizeLinear', inputs, `${name}/weight`, { axis: outputAxis });
    if (bias === undefined) return [input, weight];
    const steps = scales.map((scale) => scale * inputScale);
    return [input, weight, this.#storedBias(tensorValues(bias), steps, name)];
  }

  /** Through uint8 and back, in the range of `source`. */
  #rounded(name: string, source: string): string {
    const editor = this.#editor;
    const { scale, zeroPoint } = this.#ranges.get(source)!;
    const parameters = [
      editor.add(`${name}/scale`, float32(scale)),
      editor.add(`${name}/zero_point`, uint8(zeroPoint)),
    ];
    const quantized = editor.node('QuantizeLinear', [name, ...parameters], `${name}/quantized`);
    return editor.node('DequantizeLinear', [quantized, ...parameters], `${name}/dequantized`);
  }

  #storedWeight({ weight, outputAxis, bias }: WeightProduct, inputScale: number): StoredWeight {
    const name = weight.name ?? '';
    // With another bias or input the same weight may need another scale.
    const key = bias === undefined ? name : `${name}\n${bias.name}\n${inputScale}`;
    const known = this.#weights.get(key);
    if (known !== undefined) return known;
    const count = weight.dims[outputAxis]!;
    const inner = weight.dims.slice(outputAxis + 1).reduce((product, dim) => product * dim, 1);
    const channelOf = (index: number): number => Math.floor(index / inner) % count;
    const smallest = bias && smallestScales(tensorValues(bias), inputScale);
    const { values, scales } = quantizeWeight(tensorValues(weight), count, channelOf, this.#largestWeight, smallest);
    const stored = {
      inputs: [
        this.#editor.add(`${name}/int8`, int8(values, weight.dims)),
        this.#editor.add(`${name}/scales`, float32(scales)),
        this.#editor.add(`${name}/zero_points`, int8(new Int8Array(count))),
      ],
      scales,
    };
    this.#weights.set(key, stored);
    return stored;
  }

  #storedBias(values: Float64Array, steps: Float32Array, name: string): string {
    const rounded = Int32Array.from(values, (value, i) => Math.round(value / steps[i]!));
    const inputs = [
      this.#editor.add(`${name}/bias/int32`, int32(rounded)),
      this.#editor.add(`${name}/bias/scales`, float32(steps)),
    ];
    return this.#editor.node('DequantizeLinear', inputs, `${name}/bias`, { axis: 0 });
  }
}

/** Of the weights, so that the bias fits 30 bits in steps of weight × input. */
function smallestScales(bias: Float64Array, inputScale: number): Float64Array {
  return bias.map((value) => Math.abs(value) / (inputScale * 2 ** 30));
}
