import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { RecordingUnreadableError } from './errors.ts';

export interface BundledRecordings {
  /** About 2,000 rows of a healthy pump, to train on. */
  readonly normal: string;
  /** About 900 rows each: healthy at first, then labelled faults with recoveries between them. */
  readonly faults: readonly string[];
}

/**
 * Paths of the recordings that come with Drover: a simulated pump at 1 Hz, made by `generate-bundled.ts`.
 *
 * @throws RecordingUnreadableError where the package was installed without them
 */
export function bundledRecordings(): BundledRecordings {
  const folder = bundledFolder();
  return {
    normal: fileURLToPath(new URL('pump-normal.csv', folder)),
    faults: [1, 2, 3].map((n) => fileURLToPath(new URL(`pump-${n}.csv`, folder))),
  };
}

/** The folder is beside `src/`, also for the build output, which is one level further down. */
function bundledFolder(): URL {
  const candidates = ['../bundled/', '../../bundled/'].map((path) => new URL(path, import.meta.url));
  const found = candidates.find((url) => existsSync(new URL('pump-normal.csv', url)));
  if (found === undefined) throw new RecordingUnreadableError('The bundled recordings are not installed');
  return found;
}
