import { fork } from 'node:child_process';
import { join } from 'node:path';
import { BenchFailedError } from '../harness/bench-failed.ts';
import type { ModelTrials, TrialAnswer } from './trial-program.ts';
import type { TrialOptions } from './trial.ts';

interface ProcessSettings {
  v8Flags(env: Readonly<Record<string, string | undefined>>): string[];
  readonly ALLOCATOR: Readonly<Record<string, string>>;
}

/** Measures in a process with the settings that the agent gives itself. @returns with the flags of that process */
export async function runTrials(
  trials: readonly TrialOptions[],
): Promise<{ results: readonly ModelTrials[]; flags: readonly string[] }> {
  const settings = '../../apps/edge-agent/bin/process-settings.js';
  const { v8Flags, ALLOCATOR } = (await import(settings)) as ProcessSettings;
  const flags = v8Flags(process.env);
  const child = fork(join(import.meta.dirname, 'trial-program.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    execArgv: [...process.execArgv, ...flags],
    env: { ...process.env, ...ALLOCATOR },
  });
  const results = await new Promise<readonly ModelTrials[]>((resolve, reject) => {
    child.once('message', (answer: TrialAnswer) => {
      if ('results' in answer) resolve(answer.results);
      else reject(new BenchFailedError(answer.failure));
    });
    child.once('error', (cause) => reject(new BenchFailedError('The trial cannot be started', { cause })));
    child.once('exit', (code, signal) => reject(new BenchFailedError(`The trial ended (${signal ?? code})`)));
    child.send(trials);
  });
  return { results, flags };
}
