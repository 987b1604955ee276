/**
 * What the agent remembers of its updates, in one file.
 *
 * INVARIANTS
 * - The file is replaced as a whole (temporary file, fsync, rename, fsync of the folder): a machine that loses power at any
 *   instruction finds the old state or the new one.
 * - A state is written before the deed that it tells of (write-ahead): what stands here as begun may or may not have happened,
 *   what stands here as done has.
 * - Changes are written one after the other, each on top of the last that was written: pipelines never undo each other's.
 * - The execution sequence in a record is written before a report with it leaves, so it only ever grows.
 */
import { readFile, rename } from 'node:fs/promises';
import { z } from 'zod';
import { idSchema } from '@drover/contracts';
import { OperationError, messageOf, writeFileAtomic } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { EMPTY_RECORD, pipelineRecordSchema } from './update-records.ts';
import type { PipelineRecord } from './update-records.ts';

const journalSchema = z.object({
  format: z.literal('drover.journal/1'),
  pipelines: z.record(idSchema, pipelineRecordSchema),
});

/** The journal could not be written: the disk is full, broken or read-only. Nothing may be changed without it. */
export class JournalUnwritableError extends OperationError {}

export type WriteFile = (path: string, text: string) => Promise<void>;

export class UpdateJournal {
  readonly #path: string;
  readonly #logger: Logger;
  readonly #write: WriteFile;
  #pipelines: Readonly<Record<string, PipelineRecord>> = {};
  #last: Promise<unknown> = Promise.resolve();

  /** @param write how a file is replaced durably */
  constructor(path: string, logger: Logger, write: WriteFile = writeFileAtomic) {
    this.#path = path;
    this.#logger = logger;
    this.#write = write;
  }

  /** Reads the file. One that is no journal is set aside, never deleted: the agent then starts from what it is told next. */
  async open(): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw new JournalUnwritableError(`${this.#path} cannot be read: ${messageOf(error)}`, { cause: error });
    }
    const parsed = journalSchema.safeParse(parseJson(text));
    if (parsed.success) {
      this.#pipelines = parsed.data.pipelines;
      return;
    }
    const aside = `${this.#path}.unreadable`;
    await rename(this.#path, aside);
    this.#logger.error({ path: aside }, 'the update journal is unreadable and was set aside');
  }

  get(pipeline: string): PipelineRecord {
    return this.#pipelines[pipeline] ?? EMPTY_RECORD;
  }

  names(): string[] {
    return Object.keys(this.#pipelines);
  }

  records(): PipelineRecord[] {
    return Object.values(this.#pipelines);
  }

  /**
   * Replaces a pipeline's record. In order: a change begun earlier is written earlier.
   *
   * @throws JournalUnwritableError, and then nothing has changed
   */
  set(pipeline: string, record: PipelineRecord): Promise<void> {
    const turn = this.#last.then(() => this.#replace({ ...this.#pipelines, [pipeline]: record }));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #replace(pipelines: Readonly<Record<string, PipelineRecord>>): Promise<void> {
    try {
      await this.#write(this.#path, JSON.stringify({ format: 'drover.journal/1', pipelines }));
    } catch (error) {
      throw new JournalUnwritableError(`${this.#path} cannot be written: ${messageOf(error)}`, { cause: error });
    }
    this.#pipelines = pipelines;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
