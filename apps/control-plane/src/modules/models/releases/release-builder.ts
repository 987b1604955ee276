import { Worker } from 'node:worker_threads';
import type { BuiltRelease, Recording } from '@drover/factory';
import { CallerError, OperationError } from '@drover/runtime';

export interface RecordingFile {
  readonly digest: string;
  readonly path: string;
}

/** What a build thread is given. Plain data: it crosses a thread. */
export interface BuildRequest {
  readonly source:
    | { readonly kind: 'files'; readonly files: readonly RecordingFile[] }
    | { readonly kind: 'recording'; readonly recording: Recording };
  readonly evaluation: readonly { readonly file: RecordingFile; readonly trainedOn: boolean }[];
  readonly options: {
    readonly seed: number;
    readonly trainRows?: number | undefined;
    readonly window?: number | undefined;
    readonly stride?: number | undefined;
    readonly explainedVariance?: number | undefined;
  };
}

export type BuildMessage =
  | { readonly kind: 'progress'; readonly progress: number; readonly phase: string }
  | { readonly kind: 'built'; readonly built: BuiltRelease }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly final: boolean };

/** The data or options can't be trained with; trying again is of no use. `reason` is the factory's own code. */
export class ReleaseUnbuildableError extends CallerError {
  constructor(
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}
/** The build thread died: out of memory, or a defect. */
export class BuildThreadError extends OperationError {}

/** A build may use this much memory; more ends it, not the process. */
const MAX_HEAP_MB = 2_048;
const SUFFIX = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

/**
 * Builds a release in a thread.
 *
 * @throws ReleaseUnbuildableError, BuildThreadError, or the signal's reason when aborted
 */
export function buildInThread(
  request: BuildRequest,
  onProgress: (progress: number, phase: string) => void,
  signal: AbortSignal,
): Promise<BuiltRelease> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL(`./release-build.worker.${SUFFIX}`, import.meta.url), {
      workerData: request,
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
      ...(SUFFIX === 'ts' ? { execArgv: ['--conditions=source'] } : {}),
    });
    const end = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      settle();
      void thread.terminate();
    };
    const onAbort = (): void => end(() => reject(signal.reason));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    thread.on('message', (message: BuildMessage) => {
      if (message.kind === 'progress') onProgress(message.progress, message.phase);
      else if (message.kind === 'built') end(() => resolve(message.built));
      else if (message.final) end(() => reject(new ReleaseUnbuildableError(message.code, message.message)));
      else end(() => reject(new BuildThreadError(message.message)));
    });
    thread.once('error', (error) =>
      end(() => reject(new BuildThreadError(`The build ended: ${(error as Error).message}`, { cause: error }))),
    );
    thread.once('exit', () => end(() => reject(new BuildThreadError('The build ended without a result.'))));
  });
}
