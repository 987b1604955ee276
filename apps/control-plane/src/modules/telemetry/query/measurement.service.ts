import type { MeasurementQuery, Measurements, ResponseOf, api } from '@drover/contracts';
import { ID_PATTERN } from '@drover/contracts';
import { InvalidInputError } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { NotFoundError } from '../../../platform/http/errors.ts';
import { channelsOf, orderOf, placesOf } from './channel-places.ts';
import { decodeBinCursor, decodeSampleCursor, encodeBinCursor, encodeSampleCursor } from './measurement-cursor.ts';
import { MeasurementRepository } from './measurement.repository.ts';
import type { BinRow, SampleRange, StreamRow } from './measurement.repository.ts';

type StreamList = ResponseOf<typeof api.devices.streams>;
type MeasurementRow = Measurements['rows'][number];

/** What devices have measured, for people. */
@Injectable()
export class MeasurementService {
  constructor(private readonly repository: MeasurementRepository) {}

  /** @throws NotFoundError */
  async streams(fleet: string, device: string): Promise<StreamList> {
    await this.#requireDevice(fleet, device);
    const byName = Map.groupBy(await this.repository.spans(fleet, device), (row) => row.name);
    const items = [...byName].map(([name, rows]) => ({
      name,
      channels: channelsOf(rows),
      firstAt: edge(
        rows.map((row) => row.first_at),
        0,
      ),
      lastAt: edge(
        rows.map((row) => row.last_at),
        -1,
      ),
    }));
    return { items: items.toSorted((a, b) => (a.name < b.name ? -1 : 1)) };
  }

  /**
   * A page of samples, or of summaries per step. A stream whose channels have changed is read as one: a sample has null in the
   * channels that it lacks.
   *
   * @throws NotFoundError, InvalidInputError
   */
  async measurements(fleet: string, device: string, query: MeasurementQuery): Promise<Measurements> {
    await this.#requireDevice(fleet, device);
    const streams = await this.repository.streams(fleet, device, query.stream);
    if (streams.length === 0) throw NotFoundError.of('stream', query.stream);
    const channels = chosenChannels(channelsOf(streams), query.channels);
    const { stream, from = null, to = null, step } = query;
    const range = { fleet, device, stream, from, to, channels };
    const page = await (step === undefined
      ? this.#samples(range, streams, query)
      : this.#summaries(range, streams, step, query));
    return { device, stream, channels, stepSeconds: step ?? null, ...page };
  }

  async #samples(range: SampleRange, streams: readonly StreamRow[], query: MeasurementQuery) {
    const after = decodeSampleCursor(range.stream, query.cursor);
    const found = await this.repository.samples(range, after, query.limit + 1);
    const order = orderOf(streams, range.channels);
    const page = found.slice(0, query.limit);
    const rows = page.map((row) => ({
      at: shortInstant(row.at),
      values: order.get(row.stream)!.map((place) => row.values[place] ?? null),
    }));
    return { rows, nextCursor: found.length > page.length ? encodeSampleCursor(range.stream, page.at(-1)!) : null };
  }

  async #summaries(range: SampleRange, streams: readonly StreamRow[], step: number, query: MeasurementQuery) {
    const next = decodeBinCursor(range.stream, step, query.cursor);
    // The first step of a list may begin before `from`: it stays cut there on its page.
    const part = { ...range, from: later(range.from, next) };
    const bins = await this.repository.bins(part, step, query.limit + 1);
    const page = bins.slice(0, query.limit);
    if (page.length === 0) return { rows: [], nextCursor: null };
    const places = placesOf(streams, range.channels);
    const cells = await this.repository.aggregate(part, step, page.at(-1)!, places);
    const rows = rowsOf(page, cells, range.channels.length);
    return { rows, nextCursor: bins.length > page.length ? encodeBinCursor(range.stream, bins.at(-1)!, step) : null };
  }

  async #requireDevice(fleet: string, device: string): Promise<void> {
    const exists = ID_PATTERN.test(device) && (await this.repository.deviceExists(fleet, device));
    if (!exists) throw NotFoundError.of('device', device);
  }
}

/** @throws InvalidInputError for a channel that the stream does not have */
function chosenChannels(present: readonly string[], wanted: readonly string[] | undefined): string[] {
  if (!wanted?.length) return [...present];
  const unknown = wanted.filter((name) => !present.includes(name));
  if (unknown.length === 0) return [...new Set(wanted)];
  throw new InvalidInputError(`The stream has no channel "${unknown[0]}".`, {
    problems: [{ path: 'channels', message: `must be of ${present.join(', ').slice(0, 500)}` }],
  });
}

/** One row per step, also where none of the channels has a value. */
function rowsOf(bins: readonly string[], cells: readonly BinRow[], channels: number): MeasurementRow[] {
  const empty = () => Array.from<null>({ length: channels }).fill(null);
  const rows = new Map(
    bins.map((at) => [
      at,
      {
        at: shortInstant(at),
        count: Array.from<number>({ length: channels }).fill(0),
        min: empty() as (number | null)[],
        max: empty() as (number | null)[],
        mean: empty() as (number | null)[],
      },
    ]),
  );
  for (const { at, channel, count, min, max, mean } of cells) {
    const row = rows.get(at);
    if (!row) continue;
    row.count[channel] = count;
    row.min[channel] = min;
    row.max[channel] = max;
    row.mean[channel] = mean;
  }
  return [...rows.values()];
}

/** Milliseconds where that is all there is to say. */
function shortInstant(iso: string): string {
  return iso.endsWith('000Z') ? `${iso.slice(0, -4)}Z` : iso;
}

function later(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  return Date.parse(a) > Date.parse(b) ? a : b;
}

function edge(instants: readonly (string | null)[], index: 0 | -1): string | null {
  const sorted = instants.filter((instant) => instant !== null).toSorted((a, b) => Date.parse(a) - Date.parse(b));
  const instant = sorted.at(index);
  return instant === undefined ? null : shortInstant(instant);
}
