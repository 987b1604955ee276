import { setImmediate } from 'node:timers/promises';
import { readRecording } from '@drover/recordings';
import { DroverError, messageOf, sleep } from '@drover/runtime';
import type { Clock } from '@drover/runtime';
import { SensorFailedError, SensorUnreadableError } from './sensor.ts';
import type { Sample, Sensor, SensorInfo } from './sensor.ts';

export interface CsvSensorOptions {
  readonly path: string;
  /** Times real time. */
  readonly speed: number;
  readonly loop: boolean;
  /** Whether samples carry the time of their replay or the recorded one. */
  readonly time: 'now' | 'recorded';
  readonly clock: Clock;
}

/** Samples that are due at once are passed on in runs of this many, so that a fast replay starves nobody. */
const BURST = 256;
/** Rows that tell the recording's rate. */
const RATE_ROWS = 257;
/** A machine's clock that was set further than this takes the replay along. */
const CLOCK_STEP_MS = 5_000;

/**
 * Replays a recording with the recorded spacing, `speed` times faster. A looped recording goes on in time: the next pass
 * begins one mean spacing after the end of the last, so that time never runs backwards.
 */
export class CsvSensor implements Sensor {
  readonly #options: CsvSensorOptions;
  #channels: readonly string[] = [];

  constructor(options: CsvSensorOptions) {
    this.#options = options;
  }

  /** @throws SensorUnreadableError where the file is no recording */
  async open(): Promise<SensorInfo> {
    const { path, time, speed } = this.#options;
    const times: number[] = [];
    try {
      await using recording = await readRecording(path);
      this.#channels = recording.header.channels;
      for await (const row of recording) if (times.push(row.timeMs) >= RATE_ROWS) break;
    } catch (error) {
      throw new SensorUnreadableError(`The recording cannot be replayed: ${messageOf(error)}`, {
        cause: error,
        problems: error instanceof DroverError ? error.problems : [],
      });
    }
    // A file that has a header and nothing else would end, or loop, without ever giving a sample.
    if (times.length === 0) throw new SensorUnreadableError(`The recording cannot be replayed: ${path} has no rows`);
    const recordedHz = typicalRate(times);
    const rateHz = recordedHz === null || time === 'recorded' ? recordedHz : recordedHz * speed;
    return { channels: this.#channels, rateHz };
  }

  async run(onSample: (sample: Sample) => void, signal: AbortSignal): Promise<void> {
    const { loop, speed, clock } = this.#options;
    const timeline = new Timeline(speed, clock);
    try {
      await this.#replay(timeline, onSample, signal);
      if (!loop) return;
      while (!signal.aborted) {
        timeline.nextPass();
        await this.#replay(timeline, onSample, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      throw new SensorFailedError(`The replay of ${this.#options.path} stopped: ${messageOf(error)}`, { cause: error });
    }
  }

  async #replay(timeline: Timeline, onSample: (sample: Sample) => void, signal: AbortSignal): Promise<void> {
    await using recording = await readRecording(this.#options.path, { channels: this.#channels });
    let burst = 0;
    for await (const row of recording) {
      timeline.advance(row.timeMs);
      const waitMs = timeline.waitMs();
      if (waitMs >= 1) {
        await sleep(waitMs, signal);
        burst = 0;
      } else if ((burst += 1) >= BURST) {
        await setImmediate();
        burst = 0;
      }
      if (signal.aborted) return;
      onSample({
        timeMs: this.#options.time === 'now' ? timeline.replayedAt() : timeline.recordedAt(),
        values: Float32Array.from(row.values),
      });
    }
  }
}

/** Rows per second by the median spacing, null where rows have no distinct times. */
function typicalRate(times: readonly number[]): number | null {
  const spacings = times
    .slice(1)
    .map((time, i) => time - times[i]!)
    .toSorted((a, b) => a - b);
  const median = spacings[spacings.length >> 1];
  return median === undefined || median <= 0 ? null : 1_000 / median;
}

/** Where a replay stands: in the recording's time, and in the machine's. */
class Timeline {
  readonly #speed: number;
  readonly #clock: Clock;
  #firstMs = Number.NaN;
  #lastMs = Number.NaN;
  #rows = 0;
  /** Recorded milliseconds since the replay began, over all passes. */
  #position = 0;
  #passStart = 0;
  #startedAt = 0;
  #startedMonotonic = 0;
  #recordedStart = Number.NaN;

  constructor(speed: number, clock: Clock) {
    this.#speed = speed;
    this.#clock = clock;
  }

  /** To the next row. A time that goes backwards within a recording is passed on at once. */
  advance(recordedMs: number): void {
    if (Number.isNaN(this.#recordedStart)) {
      this.#recordedStart = recordedMs;
      this.#startedAt = this.#clock.now();
      this.#startedMonotonic = this.#clock.monotonic();
    }
    if (Number.isNaN(this.#firstMs)) this.#firstMs = recordedMs;
    else this.#position += Math.max(0, recordedMs - this.#lastMs);
    this.#lastMs = recordedMs;
    this.#rows += 1;
  }

  nextPass(): void {
    const spacing = this.#rows > 1 ? (this.#position - this.#passStart) / (this.#rows - 1) : 1_000;
    this.#position += spacing;
    this.#passStart = this.#position;
    this.#firstMs = Number.NaN;
    this.#rows = 0;
  }

  waitMs(): number {
    return this.#position / this.#speed - (this.#clock.monotonic() - this.#startedMonotonic);
  }

  recordedAt(): number {
    return this.#recordedStart + this.#position;
  }

  replayedAt(): number {
    const elapsed = this.#position / this.#speed;
    // Boards without a battery-backed clock start in the past and are set when the network comes.
    const behind = this.#clock.now() - (this.#startedAt + this.#clock.monotonic() - this.#startedMonotonic);
    if (Math.abs(behind) > CLOCK_STEP_MS) this.#startedAt += behind;
    return this.#startedAt + elapsed;
  }
}
