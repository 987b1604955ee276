import type { Conv1dLayer, DenseLayer, Layer } from '../network.ts';

/** A layer before training. */
export type LayerShape = Omit<DenseLayer, 'weights' | 'bias'> | Omit<Conv1dLayer, 'weights' | 'bias'>;

/** A layer as a matrix product: `rows` rows of its input, each `depth` long and `rowStep` after the one before, times weights. */
export interface LayerPlan {
  readonly shape: LayerShape;
  /** 1 for a dense layer, the length of the output for a convolution. */
  readonly rows: number;
  readonly depth: number;
  readonly rowStep: number;
  readonly outputs: number;
  readonly inputSize: number;
  readonly outputSize: number;
}

/** How the layers follow each other, from an input of so many values. Sizes must fit. */
export function planLayers(shapes: readonly LayerShape[], inputSize: number): LayerPlan[] {
  let size = inputSize;
  return shapes.map((shape) => {
    const plan = shape.kind === 'dense' ? planDense(shape) : planConv(shape, size / shape.inputs);
    const whole = { ...plan, shape, inputSize: size, outputs: shape.outputs, outputSize: plan.rows * shape.outputs };
    size = whole.outputSize;
    return whole;
  });
}

function planDense({ inputs }: LayerShape): Pick<LayerPlan, 'rows' | 'depth' | 'rowStep'> {
  return { rows: 1, depth: inputs, rowStep: inputs };
}

/** Samples lie time by time, so the taps of one output are a contiguous piece of the input: a row of a product. */
function planConv(
  { inputs, kernel, stride }: Omit<Conv1dLayer, 'weights' | 'bias'>,
  length: number,
): Pick<LayerPlan, 'rows' | 'depth' | 'rowStep'> {
  return { rows: convLength(length, kernel, stride), depth: kernel * inputs, rowStep: stride * inputs };
}

/** Samples that come out of a convolution without padding. */
export function convLength(length: number, kernel: number, stride: number): number {
  return Math.floor((length - kernel) / stride) + 1;
}

export function parameterCount(shapes: readonly LayerShape[]): number {
  return shapes.reduce((sum, shape) => sum + (fanIn(shape) + 1) * shape.outputs, 0);
}

/** Multiply-accumulates of one window. */
export function multiplyAccumulates(shapes: readonly LayerShape[], inputSize: number): number {
  return planLayers(shapes, inputSize).reduce((sum, { rows, depth, outputs }) => sum + rows * depth * outputs, 0);
}

/** Untrained layers. Source of the limits: K. He et al., "Delving deep into rectifiers", 2015 (uniform form). */
export function initialLayers(shapes: readonly LayerShape[], random: () => number): Layer[] {
  return shapes.map((shape): Layer => {
    const limit = Math.sqrt((shape.activation === 'relu' ? 6 : 3) / fanIn(shape));
    const weights = new Float32Array(fanIn(shape) * shape.outputs).map(() => (random() * 2 - 1) * limit);
    return { ...shape, weights, bias: new Float32Array(shape.outputs) };
  });
}

function fanIn(shape: LayerShape): number {
  return shape.kind === 'dense' ? shape.inputs : shape.inputs * shape.kernel;
}
