import type { ValidModel } from '@drover/onnx';
import { UnsupportedGraphError } from '../errors.ts';

/** @throws UnsupportedGraphError for a graph in an older operator set than the rewritten one needs */
export function requireOpset({ opsetImport }: ValidModel, least: number): void {
  const version = opsetImport.find(({ domain = '' }) => domain === '' || domain === 'ai.onnx')?.version ?? 0;
  if (version < least) {
    throw new UnsupportedGraphError(
      `The graph is in operator set ${version}; ${least} is needed. Export the model again, with a newer one.`,
    );
  }
}
