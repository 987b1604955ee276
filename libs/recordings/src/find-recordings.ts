import { readdir } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { RecordingTooLargeError, RecordingUnreadableError } from './errors.ts';

export interface FoundRecording {
  readonly path: string;
  /** Path below the folder without its ending, `/` between parts: `valve1/3`. */
  readonly name: string;
}

const MOST_FILES = 10_000;

/**
 * All CSV files below a folder, in natural order (`2.csv` before `10.csv`).
 *
 * @throws RecordingUnreadableError, RecordingTooLargeError for more than 10,000 files
 */
export async function findRecordings(folder: string): Promise<FoundRecording[]> {
  let entries: string[];
  try {
    entries = await readdir(folder, { recursive: true });
  } catch (cause) {
    throw new RecordingUnreadableError(`Cannot list ${folder}`, { cause });
  }
  const files = entries.filter((entry) => entry.toLowerCase().endsWith('.csv'));
  if (files.length > MOST_FILES) throw new RecordingTooLargeError(`More than ${MOST_FILES} recordings in ${folder}`);
  const order = new Intl.Collator('en', { numeric: true });
  return files
    .map((file) => ({ path: join(folder, file), name: file.slice(0, -4).split(sep).join('/') }))
    .toSorted((a, b) => order.compare(a.name, b.name));
}
