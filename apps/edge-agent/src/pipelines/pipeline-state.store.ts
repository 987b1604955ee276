import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { PipelineSnapshot } from '@drover/inference';
import { messageOf, writeFileAtomic } from '@drover/runtime';
import type { Logger } from '@drover/runtime';

type PathState = PipelineSnapshot['state'];
interface Stored {
  readonly identity: string;
  readonly state: PathState;
}

/**
 * What a pipeline's detector remembers (its own state, the alarm that is on, the anomaly that is open), kept over restarts.
 * Losing it costs one warm-up, so a file that cannot be read counts as none.
 */
export class PipelineStateStore {
  readonly #folder: string;
  readonly #logger: Logger;

  constructor(folder: string, logger: Logger) {
    this.#folder = folder;
    this.#logger = logger;
  }

  /** @param identity of the release, variant and calibration: the memory of another is of no use */
  async load(pipeline: string, identity: string): Promise<PathState | null> {
    try {
      const stored = deserialize(await readFile(this.#path(pipeline))) as Stored;
      return stored.identity === identity ? stored.state : null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#logger.warn({ pipeline }, `the detector begins without its memory: ${messageOf(error)}`);
      }
      return null;
    }
  }

  async save(pipeline: string, identity: string, state: PathState): Promise<void> {
    try {
      const stored: Stored = { identity, state };
      await writeFileAtomic(this.#path(pipeline), serialize(stored));
    } catch (error) {
      this.#logger.warn({ pipeline }, `the detector's memory was not stored: ${messageOf(error)}`);
    }
  }

  async forget(pipeline: string): Promise<void> {
    await rm(this.#path(pipeline), { force: true });
  }

  #path(pipeline: string): string {
    return join(this.#folder, `${pipeline}.state`);
  }
}
