import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { quantileOf } from '@drover/detection';
import { BenchFailedError } from '../harness/bench-failed.ts';

/** What an empty program takes on this machine. */
export interface ProcessFloor {
  /** From its start until it has ended. */
  readonly startMs: number;
  readonly residentBytes: number;
}

const STARTS = 7;

/** `node -e 0`, and what an empty program that stays would hold. */
export async function measureFloor(): Promise<ProcessFloor> {
  const times: number[] = [];
  for (let i = 0; i < STARTS; i += 1) {
    const began = performance.now();
    await promisify(execFile)(process.execPath, ['-e', '0']);
    times.push(performance.now() - began);
  }
  const print = "console.log(require('node:fs').readFileSync('/proc/self/status', 'utf8'))";
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', print]);
  return { startMs: medianOf(times), residentBytes: residentOf(stdout) };
}

/** VmRSS of a process. */
export async function residentBytesOf(pid: number): Promise<number> {
  return residentOf(await readFile(`/proc/${pid}/status`, 'utf8'));
}

export function medianOf(values: readonly number[]): number {
  return quantileOf(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}

function residentOf(status: string): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
  if (kilobytes === undefined) throw new BenchFailedError('The process is gone');
  return Number(kilobytes) * 1_024;
}
