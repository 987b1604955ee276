import { openSession } from './open-session.ts';
import type { OnnxRuntime } from './onnx-runtime.ts';
import type { ProviderProbe } from './worker-messages.ts';

/**
 * The smallest model there is, `y = Identity(x)` on one float32, as ONNX's protobuf: IR version 8, opset 13. A test reads
 * it with `@drover/onnx`.
 */
export const PROBE_MODEL = Buffer.from(
  'CAgSBmRyb3ZlcjpHChwKAXgSAXkaCklkZW50aXR5L3kiCElkZW50aXR5EgVwcm9iZVoPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEA0=',
  'base64',
);

/**
 * Tries which execution providers really open a session here; what a build claims to support is not enough.
 *
 * @returns one entry per provider, `reason` null where it works
 * @throws RuntimeUnavailableError by way of `runtime`
 */
export async function probeProviders(runtime: OnnxRuntime, providers: readonly string[]): Promise<ProviderProbe[]> {
  const probes: ProviderProbe[] = [];
  for (const provider of providers) {
    const opened = await openSession(runtime, PROBE_MODEL, [provider]);
    await opened.session.release();
    const failure = opened.failures.find((failed) => failed.provider === provider);
    probes.push(failure ?? { provider, reason: null });
  }
  return probes;
}
