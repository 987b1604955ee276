import { Worker } from 'node:worker_threads';
import { CallerError, OperationError, messageOf } from '@drover/runtime';

/** What a thread tells the one that started it. */
export type ThreadMessage =
  | { readonly kind: 'progress'; readonly progress: unknown }
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly final: boolean };

/** The thread says that its input cannot work; trying again is of no use. `reason` is the code of the error in the thread. */
export class ThreadRefusedError extends CallerError {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}
/** The thread needed more memory than it may have. */
export class OutOfMemoryError extends CallerError {}
/** The thread ended without an answer, or by an error that is not its input's. */
export class ThreadFailedError extends OperationError {}

export interface ThreadOptions<Progress> {
  /** Heap and buffers of the thread together; more ends it, not the process. */
  readonly maxMemoryBytes: number;
  readonly onProgress?: (progress: Progress) => void;
  readonly signal: AbortSignal;
}

const WATCH_EVERY_MS = 500;

/**
 * Runs a file as a thread of its own (see `answerThread`) and gives its answer. `request` crosses a thread: plain data.
 *
 * @throws ThreadRefusedError, OutOfMemoryError, ThreadFailedError, or the signal's reason when aborted
 */
export function runThread<Result, Progress = never>(
  file: URL,
  request: object,
  { maxMemoryBytes, onProgress, signal }: ThreadOptions<Progress>,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    const thread = new Worker(file, {
      workerData: request,
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(maxMemoryBytes / 2 ** 20) },
      ...(file.pathname.endsWith('.ts') ? { execArgv: ['--conditions=source'] } : {}),
    });
    let ended = false;
    const end = (settle: () => void): void => {
      if (ended) return;
      ended = true;
      clearInterval(watch);
      signal.removeEventListener('abort', onAbort);
      // Settled when it is gone: what it held is free then.
      void thread.terminate().then(settle, settle);
    };
    const tooLarge = (): void =>
      end(() =>
        reject(new OutOfMemoryError(`It needs more than the ${maxMemoryBytes} bytes of memory that it may use.`)),
      );
    const onAbort = (): void => end(() => reject(signal.reason as Error));
    // V8's own limit counts no buffers, and numbers live in buffers.
    const watch = setInterval(() => {
      thread.getHeapStatistics().then(
        (heap) => (heap.used_heap_size + heap.external_memory > maxMemoryBytes ? tooLarge() : undefined),
        () => undefined,
      );
    }, WATCH_EVERY_MS);
    signal.addEventListener('abort', onAbort, { once: true });
    thread.on('message', (message: ThreadMessage) => {
      if (message.kind === 'progress') onProgress?.(message.progress as Progress);
      else if (message.kind === 'done') end(() => resolve(message.result as Result));
      else if (message.final) end(() => reject(new ThreadRefusedError(message.code, message.message)));
      else end(() => reject(new ThreadFailedError(message.message)));
    });
    thread.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') tooLarge();
      else end(() => reject(new ThreadFailedError(`The thread ended: ${messageOf(error)}`, { cause: error })));
    });
    thread.once('exit', () => end(() => reject(new ThreadFailedError('The thread ended without a result.'))));
  });
}
