import { readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { parseTime } from './cells.ts';
import { InvalidLabelsError } from './errors.ts';

/** A labelled span of time, both ends inclusive, milliseconds. */
export interface LabelWindow {
  readonly startMs: number;
  readonly endMs: number;
}

const WINDOWS_FILE = join('labels', 'combined_windows.json');
const MOST_LEVELS = 8;

/**
 * Finds the label windows of a recording in the layout of the Numenta Anomaly Benchmark: above the file there is
 * `data/` and beside that `labels/combined_windows.json`, which maps paths below `data/` to [start, end] pairs.
 *
 * @returns undefined where there is no such file, or it does not name this recording
 * @throws InvalidLabelsError
 */
export async function findLabelWindows(recordingPath: string): Promise<LabelWindow[] | undefined> {
  const path = resolve(recordingPath);
  let folder = dirname(path);
  for (let level = 0; level < MOST_LEVELS && dirname(folder) !== folder; level += 1) {
    folder = dirname(folder);
    const file = join(folder, WINDOWS_FILE);
    const text = await readIfThere(file);
    if (text !== undefined) return windowsOf(text, relative(join(folder, 'data'), path).split(sep).join('/'), file);
  }
  return undefined;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return undefined;
  }
}

function windowsOf(text: string, key: string, file: string): LabelWindow[] | undefined {
  let all: unknown;
  try {
    all = JSON.parse(text);
  } catch (cause) {
    throw new InvalidLabelsError(`${file} is not JSON`, { cause });
  }
  if (typeof all !== 'object' || all === null || !Object.hasOwn(all, key)) return undefined;
  const list = (all as Record<string, unknown>)[key];
  if (!Array.isArray(list)) throw new InvalidLabelsError(`${file}: "${key}" must be a list of [start, end] pairs`);
  return list.map((pair: unknown, i) => {
    const [start, end] = Array.isArray(pair) ? (pair as unknown[]) : [];
    const startMs = typeof start === 'string' ? parseTime(start) : undefined;
    const endMs = typeof end === 'string' ? parseTime(end) : undefined;
    if (startMs === undefined || endMs === undefined || endMs < startMs) {
      throw new InvalidLabelsError(`${file}: "${key}", window ${i + 1} must be [start, end], two times in order`);
    }
    return { startMs, endMs };
  });
}

/** Whether a time lies in one of the windows. */
export function isInWindows(windows: readonly LabelWindow[], timeMs: number): boolean {
  return windows.some((window) => timeMs >= window.startMs && timeMs <= window.endMs);
}
