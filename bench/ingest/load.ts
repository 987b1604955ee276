import { fork } from 'node:child_process';
import { join } from 'node:path';
import { OperationError } from '@drover/runtime';
import type { GeneratorAnswer, GeneratorOrder, GeneratorReport } from './generator-messages.ts';

/** The load generator ended without a report. */
export class LoadFailedError extends OperationError {}

/** Runs one order in a process of its own, so that it doesn't share a thread with what it measures. */
export function runLoad(order: GeneratorOrder): Promise<GeneratorReport> {
  const child = fork(join(import.meta.dirname, 'generator.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  return new Promise((resolve, reject) => {
    child.once('message', (answer: GeneratorAnswer) => {
      if ('report' in answer) resolve(answer.report);
      else reject(new LoadFailedError(answer.failure));
    });
    child.once('error', (error) =>
      reject(new LoadFailedError('The load generator cannot be started', { cause: error })),
    );
    child.once('exit', (code) => reject(new LoadFailedError(`The load generator ended with code ${code}`)));
    child.send(order);
  });
}
