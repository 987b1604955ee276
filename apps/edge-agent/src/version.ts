import { createRequire } from 'node:module';
import manifest from '../package.json' with { type: 'json' };

export const AGENT_VERSION: string = manifest.version;

/** Version of the ONNX Runtime that would be loaded, found without loading it. @param runtimePackage a package or a path */
export function runtimeVersion(runtimePackage: string): string {
  try {
    const found = createRequire(import.meta.url)(`${runtimePackage}/package.json`) as { version?: unknown };
    return `onnxruntime ${String(found.version)}`.slice(0, 64);
  } catch {
    return 'unknown';
  }
}
