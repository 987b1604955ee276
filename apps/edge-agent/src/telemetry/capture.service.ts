/**
 * Captures: every raw sample of a pipeline's sensor, for as long as a command says, beside the summaries that are always sent.
 *
 * INVARIANTS
 * - A command counts once, however often it is delivered: a running capture goes on, an ended one gives the same answer again.
 * - A capture outlives the process: it goes on after a restart until the time that was set when it was accepted; what the
 *   sensor gave meanwhile is missing.
 * - The answer is stored after the last sample.
 */
import type { Command, CommandStatusMessage } from '@drover/contracts';
import { messageOf } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import type { Sample } from '../sensors/sensor.ts';
import type { CaptureStore, EndedCapture, RunningCapture } from './capture.store.ts';

export type CaptureCommand = Extract<Command, { type: 'capture' }>;

/** Where a capture's samples go. */
export interface CaptureStream {
  add(sample: Sample): void;
  /** Stores what waits. */
  stop(): void;
}

export interface CaptureServiceParts {
  readonly store: CaptureStore;
  /** Pipelines in the device's configuration. */
  readonly pipelines: readonly string[];
  readonly openStream: (id: string, pipeline: string) => CaptureStream;
  readonly answer: (
    command: Pick<CaptureCommand, 'type' | 'id'>,
    status: CommandStatusMessage['status'],
    message: string,
  ) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Active {
  readonly capture: RunningCapture;
  readonly stream: CaptureStream;
  readonly timer: NodeJS.Timeout;
  rows: number;
}

export class CaptureService {
  readonly #parts: CaptureServiceParts;
  /** By pipeline. */
  readonly #active = new Map<string, Active>();

  constructor(parts: CaptureServiceParts) {
    this.#parts = parts;
  }

  /** Goes on with what was running when the process ended. */
  async start(): Promise<void> {
    const { store, pipelines, clock } = this.#parts;
    const ended: EndedCapture[] = [];
    for (const capture of await store.open()) {
      if (!pipelines.includes(capture.pipeline)) {
        ended.push({ id: capture.id, status: 'FAILED', message: `pipeline ${capture.pipeline} was removed meanwhile` });
        continue;
      }
      // A clock that was set back must not make it longer than it was to be.
      const leftMs = Math.min(capture.untilMs - clock.now(), capture.durationMs);
      this.#begin(capture, leftMs);
    }
    for (const { id, status, message } of ended) this.#parts.answer({ type: 'capture', id }, status, message);
    if (ended.length + this.#active.size > 0) await this.#save(false, ended);
  }

  /** Stores what waits, and how far each capture has come. */
  async stop(): Promise<void> {
    for (const { timer, stream } of this.#active.values()) {
      clearTimeout(timer);
      stream.stop();
    }
    if (this.#active.size > 0) await this.#save(true);
    this.#active.clear();
  }

  /** Begins a capture, or says why not. */
  async accept(command: CaptureCommand): Promise<void> {
    const { store, pipelines, clock, logger } = this.#parts;
    const { id, pipeline, durationMs } = command;
    const before = store.ended(id);
    if (before !== undefined) return this.#parts.answer(command, before.status, before.message);
    const running = this.#active.get(pipeline);
    if (running?.capture.id === id) return undefined;
    if (!pipelines.includes(pipeline)) return this.#reject(command, `this device has no pipeline ${pipeline}`);
    if (running !== undefined) {
      const until = new Date(running.capture.untilMs).toISOString();
      return this.#reject(command, `capture ${running.capture.id} of pipeline ${pipeline} goes on until ${until}`);
    }
    const capture = { id, pipeline, untilMs: clock.now() + durationMs, durationMs, rows: 0, exact: true };
    this.#begin(capture, durationMs);
    logger.info({ id, pipeline, durationMs }, 'capture begins');
    await this.#save(false);
    return undefined;
  }

  /** Takes a sample of the pipeline's sensor. */
  add(pipeline: string, sample: Sample): void {
    const active = this.#active.get(pipeline);
    if (active === undefined) return;
    active.rows += 1;
    active.stream.add(sample);
  }

  #begin(capture: RunningCapture, forMs: number): void {
    const { id, pipeline } = capture;
    const timer = setTimeout(() => void this.#end(pipeline), Math.max(0, forMs));
    const stream = this.#parts.openStream(id, pipeline);
    this.#active.set(pipeline, { capture, stream, timer, rows: capture.rows });
  }

  async #end(pipeline: string): Promise<void> {
    const { capture, stream, rows } = this.#active.get(pipeline)!;
    this.#active.delete(pipeline);
    stream.stop();
    // The server waits for as many as are named; where that is not known, none is.
    const message = capture.exact ? `${rows} rows` : `at least ${rows} rows: the agent was interrupted meanwhile`;
    this.#parts.answer({ type: 'capture', id: capture.id }, 'SUCCEEDED', message);
    this.#parts.logger.info({ id: capture.id, pipeline, rows }, 'capture ended');
    await this.#save(false, [{ id: capture.id, status: 'SUCCEEDED', message }]);
  }

  async #reject(command: CaptureCommand, message: string): Promise<void> {
    this.#parts.answer(command, 'REJECTED', message);
    await this.#save(false, [{ id: command.id, status: 'REJECTED', message }]);
  }

  /** @param orderly nothing comes after this */
  async #save(orderly: boolean, ended: readonly EndedCapture[] = []): Promise<void> {
    const running = [...this.#active.values()].map(({ capture, rows }) => ({
      ...capture,
      rows,
      exact: orderly && capture.exact,
    }));
    try {
      await this.#parts.store.save(running, ended);
    } catch (error) {
      // It goes on; only a restart would not know of it.
      this.#parts.logger.error({}, `captures could not be written down: ${messageOf(error)}`);
    }
  }
}
