import { createRequire } from 'node:module';
import { RuntimeUnavailableError } from './errors.ts';

export type OnnxRuntime = typeof import('onnxruntime-node');

export const DEFAULT_RUNTIME_PACKAGE = 'onnxruntime-node';

/**
 * Loads ONNX Runtime. Boards with an own build (a Jetson's CUDA) name its folder or package instead of the one from
 * the registry.
 *
 * @param packageOrPath a package name or an absolute path
 * @throws RuntimeUnavailableError
 */
export function loadOnnxRuntime(packageOrPath: string = DEFAULT_RUNTIME_PACKAGE): OnnxRuntime {
  try {
    // `require` takes a folder with a package.json, `import` does not.
    const runtime = createRequire(import.meta.url)(packageOrPath) as OnnxRuntime;
    // Providers that cannot be used are reported by the chain below, not by native lines on standard error.
    runtime.env.logLevel = 'fatal';
    return runtime;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new RuntimeUnavailableError(`ONNX Runtime "${packageOrPath}" cannot be loaded: ${reason}`, { cause });
  }
}
