import { parentPort, workerData } from 'node:worker_threads';
import { DroverError, messageOf } from '@drover/runtime';
import type { ThreadMessage } from './thread-job.ts';

/**
 * The thread's side of `runThread`: does the work on what the thread was given and sends what comes of it. An error whose fault is the
 * caller's is final.
 */
export async function answerThread<Request, Result, Progress = never>(
  work: (request: Request, onProgress: (progress: Progress) => void) => Promise<Result>,
): Promise<void> {
  try {
    const result = await work(workerData as Request, (progress) => send({ kind: 'progress', progress }));
    send({ kind: 'done', result });
  } catch (error) {
    send({
      kind: 'failed',
      code: error instanceof DroverError ? error.code : 'internal',
      message: messageOf(error),
      final: error instanceof DroverError && error.fault === 'caller',
    });
  }
}

function send(message: ThreadMessage): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
  parentPort!.postMessage(message);
}
