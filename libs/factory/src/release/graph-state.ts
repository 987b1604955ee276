import type { ValidModel } from '@drover/onnx';

/** Whether a detector keeps state from window to window. */
export function hasState({ graph }: ValidModel): boolean {
  return graph.input.some(({ name }) => name?.startsWith('state.') === true);
}
