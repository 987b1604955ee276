import { Backoff, messageOf, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import type { Sample, Sensor } from './sensor.ts';

export interface SensorRunnerParts {
  readonly name: string;
  /** Opened. */
  readonly sensor: Sensor;
  readonly onSample: (sample: Sample) => void;
  /** Something that a person far away should know. */
  readonly onNews: (level: 'info' | 'error', code: string, message: string) => void;
  readonly logger: Logger;
}

/** Keeps a sensor delivering: one that fails is started again, ever more slowly; one that has ended stays so. */
export class SensorRunner {
  readonly #parts: SensorRunnerParts;
  readonly #stopping = new AbortController();
  #running: Promise<void> | null = null;

  constructor(parts: SensorRunnerParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#running ??= this.#run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { name, sensor, onNews, logger } = this.#parts;
    const backoff = new Backoff(500, 60_000);
    const onSample = (sample: Sample): void => {
      backoff.reset();
      this.#parts.onSample(sample);
    };
    while (!signal.aborted) {
      try {
        await sensor.run(onSample, signal);
        if (signal.aborted) return;
        logger.info({ sensor: name }, 'the recording has ended');
        onNews('info', 'sensor-ended', `Sensor ${name} has ended: its recording was replayed to the end`);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const delayMs = backoff.next();
        logger.error({ sensor: name, retryInMs: Math.round(delayMs) }, `the sensor failed: ${messageOf(error)}`);
        onNews('error', 'sensor-failed', `Sensor ${name} failed: ${messageOf(error)}`);
        await sleep(delayMs, signal).catch(() => undefined);
      }
    }
  }
}
