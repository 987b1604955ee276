import { readFile, rename } from 'node:fs/promises';
import { epochMsSchema, idSchema } from '@drover/contracts';
import { messageOf, writeFileAtomic } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { z } from 'zod';

const runningCaptureSchema = z.object({
  id: idSchema,
  pipeline: idSchema,
  /** By the machine's clock, so that it holds after a restart. */
  untilMs: epochMsSchema,
  durationMs: z.number().int().positive(),
  /** Samples that were stored to be sent. */
  rows: z.number().int().min(0),
  /** False where samples may have been stored since this was written: the process did not end orderly. */
  exact: z.boolean(),
});
export type RunningCapture = z.infer<typeof runningCaptureSchema>;

const endedCaptureSchema = z.object({
  id: idSchema,
  status: z.enum(['SUCCEEDED', 'FAILED', 'REJECTED']),
  message: z.string(),
});
export type EndedCapture = z.infer<typeof endedCaptureSchema>;

const storedSchema = z.object({
  format: z.literal('drover.captures/1'),
  running: z.array(runningCaptureSchema),
  /** The newest last. */
  ended: z.array(endedCaptureSchema),
});

/** Enough to know a command that is delivered once more. */
const MOST_ENDED = 64;

/** What the agent remembers of captures, replaced as a whole. */
export class CaptureStore {
  readonly #path: string;
  readonly #logger: Logger;
  #ended: readonly EndedCapture[] = [];
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string, logger: Logger) {
    this.#path = path;
    this.#logger = logger;
  }

  /** @returns those that were running. A file that cannot be read is set aside, and counts as none. */
  async open(): Promise<RunningCapture[]> {
    try {
      const stored = storedSchema.parse(JSON.parse(await readFile(this.#path, 'utf8')));
      this.#ended = stored.ended;
      return stored.running;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      this.#logger.error({ path: this.#path }, `what was known of captures is unreadable: ${messageOf(error)}`);
      await rename(this.#path, `${this.#path}.unreadable`).catch(() => undefined);
      return [];
    }
  }

  /** How a capture ended; undefined where it is not known. */
  ended(id: string): EndedCapture | undefined {
    return this.#ended.find((capture) => capture.id === id);
  }

  /** In order: a change begun earlier is written earlier. @param ended one that has just ended */
  save(running: readonly RunningCapture[], ended: readonly EndedCapture[] = []): Promise<void> {
    this.#ended = [...this.#ended, ...ended].slice(-MOST_ENDED);
    const text = JSON.stringify({ format: 'drover.captures/1', running, ended: this.#ended });
    const turn = this.#last.then(() => writeFileAtomic(this.#path, text));
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
