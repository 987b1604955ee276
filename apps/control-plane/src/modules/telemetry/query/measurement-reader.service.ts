import { Injectable } from '@nestjs/common';
import { NotFoundError } from '../../../platform/http/errors.ts';
import { channelsOf, orderOf } from './channel-places.ts';
import { MeasurementRepository } from './measurement.repository.ts';
import type { SamplePosition, SampleRange } from './measurement.repository.ts';

/** Which measurements of a device. */
export interface MeasurementSource {
  readonly device: string;
  readonly stream: string;
  /** ISO 8601; from here on. */
  readonly from?: string | undefined;
  /** ISO 8601; until before. */
  readonly to?: string | undefined;
  /** Names and order of the channels; all of the stream's where it is left out. */
  readonly channels?: readonly string[] | undefined;
}

export interface Measurement {
  /** Milliseconds since the Unix epoch, by the device's clock. */
  readonly atMs: number;
  /** One per channel; NaN is missing. */
  readonly values: Float32Array;
}

/** Measurements in memory. */
export interface MeasurementTable {
  /** C names. */
  readonly channels: readonly string[];
  readonly rows: number;
  /** `[rows, C]`, row by row; NaN is missing. */
  readonly values: Float32Array;
  /** `[rows]`, milliseconds since the Unix epoch, ascending. */
  readonly timesMs: Float64Array;
}

const PAGE = 5_000;

/** Reads what devices have measured in bulk, for training. */
@Injectable()
export class MeasurementReader {
  constructor(private readonly repository: MeasurementRepository) {}

  /**
   * The names of a stream's channels, in the order in which they first came.
   *
   * @throws NotFoundError
   */
  async channels(fleet: string, device: string, stream: string): Promise<string[]> {
    const streams = await this.repository.streams(fleet, device, stream);
    if (streams.length === 0) throw NotFoundError.of('stream', `${device}/${stream}`);
    return channelsOf(streams);
  }

  /** How many samples of a stream there are, by device; devices without any are left out. */
  counts(fleet: string, devices: readonly string[], stream: string): Promise<Map<string, number>> {
    return this.repository.counts(fleet, devices, stream);
  }

  /**
   * Every sample in the order of time, page by page, so that any number can be read in little memory.
   *
   * @throws NotFoundError
   */
  async *read(fleet: string, source: MeasurementSource): AsyncGenerator<Measurement> {
    const { device, stream, from = null, to = null } = source;
    const channels = source.channels ?? (await this.channels(fleet, device, stream));
    const order = orderOf(await this.repository.streams(fleet, device, stream), channels);
    const range: SampleRange = { fleet, device, stream, from, to, channels };
    let after: SamplePosition | null = null;
    for (;;) {
      const rows = await this.repository.samples(range, after, PAGE);
      for (const row of rows) {
        // A stream row that began after the first look has one of these channels, too.
        const places = order.get(row.stream);
        if (!places) continue;
        yield { atMs: row.at_ms, values: Float32Array.from(places, (place) => row.values[place] ?? Number.NaN) };
      }
      if (rows.length < PAGE) return;
      after = rows.at(-1)!;
    }
  }

  /**
   * The first `maxRows` samples in memory.
   *
   * @throws NotFoundError
   */
  async load(fleet: string, source: MeasurementSource, maxRows: number): Promise<MeasurementTable> {
    const channels = source.channels ?? (await this.channels(fleet, source.device, source.stream));
    const width = channels.length;
    let values = new Float32Array(PAGE * width);
    let timesMs = new Float64Array(PAGE);
    let rows = 0;
    for await (const row of this.read(fleet, { ...source, channels })) {
      if (rows === maxRows) break;
      if (rows === timesMs.length) {
        values = grown(values, new Float32Array(values.length * 2));
        timesMs = grown(timesMs, new Float64Array(timesMs.length * 2));
      }
      values.set(row.values, rows * width);
      timesMs[rows] = row.atMs;
      rows += 1;
    }
    return { channels, rows, values: values.slice(0, rows * width), timesMs: timesMs.slice(0, rows) };
  }
}

function grown<T extends Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>>(from: T, into: T): T {
  into.set(from);
  return into;
}
