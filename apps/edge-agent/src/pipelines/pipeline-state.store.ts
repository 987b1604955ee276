import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { PathState } from '@drover/inference';
import { messageOf, writeFileAtomic } from '@drover/runtime';
import type { Logger } from '@drover/runtime';

/** To be changed with what the files hold: those of another version count as none. */
const FORMAT = 'drover.path-state/1';

interface Stored<T> {
  readonly format: typeof FORMAT;
  readonly identity: string;
  readonly state: T;
}

type Decisions = Omit<PathState, 'detector'>;
type Detector = PathState['detector'];

/** What a detector's own state costs a memory card, on average over the day. */
const BYTES_PER_SECOND = 4_096;

/**
 * What a pipeline's detector remembers, kept over restarts, in two files: what was decided (the alarm that is on, the anomaly that
 * is open, the policy's history: a few kilobytes), and the model's own state, which can be a thousand times as large.
 * Losing them costs one warm-up, so files that cannot be read, or are of another detector or version, count as none.
 */
export class PipelineStateStore {
  readonly #folder: string;
  readonly #logger: Logger;

  constructor(folder: string, logger: Logger) {
    this.#folder = folder;
    this.#logger = logger;
  }

  /**
   * @param identity of the release, variant and calibration: the memory of another is of no use
   * @returns null where nothing is known; without the model's own state where only that is not
   */
  async load(pipeline: string, identity: string): Promise<PathState | null> {
    const decisions = await this.#read<Decisions>(this.#path(pipeline), pipeline, identity, isDecisions);
    if (decisions === null) return null;
    const detector = await this.#read<Detector>(this.#detectorPath(pipeline), pipeline, identity, isDetector);
    return { ...decisions, detector: detector ?? {} };
  }

  /** Stores what was decided; soon done, for every anomaly that opens or closes. */
  async saveDecisions(pipeline: string, identity: string, { lastTimeMs, policy, tracker }: PathState): Promise<void> {
    const decisions: Decisions = { lastTimeMs, policy, tracker };
    await this.#write(this.#path(pipeline), pipeline, { format: FORMAT, identity, state: decisions });
  }

  /** Stores everything. */
  async save(pipeline: string, identity: string, state: PathState): Promise<void> {
    if (Object.keys(state.detector).length > 0) {
      await this.#write(this.#detectorPath(pipeline), pipeline, { format: FORMAT, identity, state: state.detector });
    }
    await this.saveDecisions(pipeline, identity, state);
  }

  async forget(pipeline: string): Promise<void> {
    await rm(this.#path(pipeline), { force: true });
    await rm(this.#detectorPath(pipeline), { force: true });
  }

  async #read<T>(
    path: string,
    pipeline: string,
    identity: string,
    isOfKind: (state: unknown) => boolean,
  ): Promise<T | null> {
    try {
      const stored = deserialize(await readFile(path)) as Partial<Stored<T>> | null;
      const known = stored?.format === FORMAT && stored.identity === identity && isOfKind(stored.state);
      return known ? (stored.state as T) : null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#logger.warn({ pipeline }, `the detector begins without its memory: ${messageOf(error)}`);
      }
      return null;
    }
  }

  async #write(path: string, pipeline: string, stored: Stored<unknown>): Promise<void> {
    try {
      await writeFileAtomic(path, serialize(stored));
    } catch (error) {
      this.#logger.warn({ pipeline }, `the detector's memory was not stored: ${messageOf(error)}`);
    }
  }

  #path(pipeline: string): string {
    return join(this.#folder, `${pipeline}.state`);
  }

  #detectorPath(pipeline: string): string {
    return join(this.#folder, `${pipeline}.detector`);
  }
}

/** How long a detector's state is left alone after it was stored, milliseconds; large ones longer. */
export function restAfterSave({ detector }: PathState, leastMs: number): number {
  const bytes = Object.values(detector).reduce((sum, values) => sum + values.byteLength, 0);
  return Math.max(leastMs, (bytes / BYTES_PER_SECOND) * 1_000);
}

function isDecisions(state: unknown): boolean {
  const { lastTimeMs, policy, tracker } = (state ?? {}) as Partial<Decisions>;
  return (
    (lastTimeMs === null || typeof lastTimeMs === 'number') &&
    typeof policy?.kind === 'string' &&
    (tracker?.episode === null || typeof tracker?.episode === 'object')
  );
}

function isDetector(state: unknown): boolean {
  return (
    typeof state === 'object' && state !== null && Object.values(state).every((value) => value instanceof Float32Array)
  );
}
