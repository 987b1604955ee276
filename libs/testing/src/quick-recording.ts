import { readFile } from 'node:fs/promises';

export interface QuickRecordingOptions {
  /** Rows per second. */
  readonly rateHz: number;
  /** Columns to keep, in this order; all by default. */
  readonly columns?: readonly string[];
}

/** Any instant will do. */
const START = Date.parse('2026-02-02T06:00:00Z');

/**
 * A bundled recording as a machine would give it that is sampled more often: the same rows, nearer in time. An agent that replays the
 * recording as many times faster, with the times of now, sees the same machine as a model that is trained on this.
 *
 * @returns CSV with times in milliseconds of ISO 8601
 */
export async function quickRecording(path: string, { rateHz, columns }: QuickRecordingOptions): Promise<string> {
  const [header, ...rows] = (await readFile(path, 'utf8')).trim().split('\n');
  const names = header!.split(',').slice(1);
  const kept = (columns ?? names).map((name) => names.indexOf(name));
  const lines = rows.map((row, i) => {
    const cells = row.split(',').slice(1);
    const time = new Date(START + Math.round((i * 1_000) / rateHz)).toISOString();
    return [time, ...kept.map((column) => cells[column]!)].join(',');
  });
  return `${['timestamp', ...kept.map((column) => names[column]!)].join(',')}\n${lines.join('\n')}\n`;
}
