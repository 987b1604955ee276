import type { InferenceSession } from 'onnxruntime-node';
import { InvalidGraphError } from './errors.ts';
import type { OnnxRuntime } from './onnx-runtime.ts';

/** A provider that was tried and does not run here, and why. */
export interface ProviderFailure {
  readonly provider: string;
  readonly reason: string;
}

export interface OpenedSession {
  readonly session: InferenceSession;
  /** The provider that really runs. */
  readonly provider: string;
  readonly failures: readonly ProviderFailure[];
}

export interface SessionTuning {
  /** Threads inside one run. Default 1: detectors are small, and a second thread costs more than it gives. */
  readonly threads?: number;
}

const CPU = 'cpu';

/**
 * Opens a model with the first provider that works; the CPU is always the last resort.
 *
 * Each provider is tried alone: with a list, ONNX Runtime either fails as a whole although the CPU is in it, or drops the
 * provider with a warning and runs on the CPU under its name. What the build does not claim to have is not tried.
 *
 * @param model a file's path or its bytes
 * @throws InvalidGraphError when not even the CPU takes it
 */
export async function openSession(
  runtime: OnnxRuntime,
  model: string | Uint8Array,
  providers: readonly string[],
  tuning: SessionTuning = {},
): Promise<OpenedSession> {
  const claimed = new Set(runtime.listSupportedBackends().map(({ name }) => name));
  const failures: ProviderFailure[] = [];
  for (const provider of new Set([...providers.filter((name) => name !== CPU), CPU])) {
    if (!claimed.has(provider)) {
      failures.push({ provider, reason: 'this build of ONNX Runtime does not have it' });
      continue;
    }
    try {
      return { session: await create(runtime, model, provider, tuning), provider, failures };
    } catch (error) {
      failures.push({ provider, reason: firstLine(error) });
    }
  }
  const onCpu = failures.at(-1)?.reason ?? 'unknown';
  throw new InvalidGraphError(`The model does not load: ${onCpu}`);
}

/** Preferring the CPU is asking for nothing before it. */
function create(
  runtime: OnnxRuntime,
  model: string | Uint8Array,
  provider: string,
  tuning: SessionTuning,
): Promise<InferenceSession> {
  const options: InferenceSession.SessionOptions = {
    executionProviders: [provider],
    intraOpNumThreads: tuning.threads ?? 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 4,
  };
  return typeof model === 'string'
    ? runtime.InferenceSession.create(model, options)
    : runtime.InferenceSession.create(model, options);
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n')[0]!.slice(0, 500);
}
