import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';

/** A device's stream with one set of channels; several rows of one name where the device has changed its channels. */
export interface StreamRow {
  readonly id: number;
  readonly name: string;
  readonly channels: string[];
}

export interface StreamSpan extends StreamRow {
  /** ISO 8601, UTC; null where nothing is stored any more. */
  readonly first_at: string | null;
  readonly last_at: string | null;
}

/** Samples of one stream, by name, from `from` until before `to` (ISO 8601). */
export interface SampleRange {
  readonly fleet: string;
  readonly device: string;
  readonly stream: string;
  readonly from: string | null;
  readonly to: string | null;
  /** Only stream rows that have one of these. */
  readonly channels: readonly string[];
}

/** The place of a sample in the order (at, boot, seq, idx, stream). */
export interface SamplePosition {
  readonly at: string;
  readonly boot: number;
  readonly seq: string;
  readonly idx: number;
  readonly stream: number;
}

export interface SampleRow extends SamplePosition {
  readonly at_ms: number;
  readonly values: (number | null)[];
}

export interface BinRow {
  /** Start of the step, ISO 8601. */
  readonly at: string;
  /** Index into the channels that were asked for. */
  readonly channel: number;
  readonly count: number;
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
}

/** Where a channel's values are: at which place of which stream row's samples. */
export interface ChannelPlace {
  readonly stream: number;
  /** 1-based. */
  readonly ordinal: number;
  readonly channel: number;
}

const STREAMS =
  'SELECT id FROM streams WHERE fleet_id = $1 AND device_id = $2 AND name = $3 AND channels && $4::text[]';
const IN_RANGE = `s.at >= coalesce($5::timestamptz, '-infinity') AND s.at < coalesce($6::timestamptz, 'infinity')`;
/** Steps are counted from the Unix epoch, so that the same step has the same bounds in every answer. */
const ORIGIN = `'1970-01-01 00:00:00+00'::timestamptz`;

@Injectable()
export class MeasurementRepository {
  constructor(private readonly database: Database) {}

  async deviceExists(fleet: string, device: string): Promise<boolean> {
    const { rows } = await this.database.pool.query('SELECT 1 FROM devices WHERE fleet_id = $1 AND id = $2', [
      fleet,
      device,
    ]);
    return rows.length > 0;
  }

  /** The rows of a device's stream, the oldest first. */
  async streams(fleet: string, device: string, name: string): Promise<StreamRow[]> {
    const { rows } = await this.database.pool.query<StreamRow>(
      'SELECT id, name, channels FROM streams WHERE fleet_id = $1 AND device_id = $2 AND name = $3 ORDER BY id',
      [fleet, device, name],
    );
    return rows;
  }

  async counts(fleet: string, devices: readonly string[], name: string): Promise<Map<string, number>> {
    const { rows } = await this.database.pool.query<{ device: string; count: number }>(
      `SELECT st.device_id AS device, count(*)::float8 AS count FROM streams st JOIN samples s ON s.stream_id = st.id
        WHERE st.fleet_id = $1 AND st.device_id = ANY($2::text[]) AND st.name = $3 GROUP BY 1`,
      [fleet, devices, name],
    );
    return new Map(rows.map(({ device, count }) => [device, count]));
  }

  /** All streams of a device, the oldest row first, with their first and last samples. */
  async spans(fleet: string, device: string): Promise<StreamSpan[]> {
    const { rows } = await this.database.pool.query<StreamSpan>(
      `SELECT id, name, channels, ${edgeOf('ASC')} AS first_at, ${edgeOf('DESC')} AS last_at
         FROM streams st WHERE fleet_id = $1 AND device_id = $2 ORDER BY id`,
      [fleet, device],
    );
    return rows;
  }

  /** Samples in the order of their positions, `limit` at most, after a position. */
  async samples(range: SampleRange, after: SamplePosition | null, limit: number): Promise<SampleRow[]> {
    const position = after ? [after.at, after.boot, after.seq, after.idx, after.stream] : [null, 0, 0, 0, 0];
    // Per stream row by the index, then merged: the index's order is lost as soon as two stream rows are read together.
    const { rows } = await this.database.pool.query<SampleRow>(
      `SELECT ${isoOf('r.at')} AS at, (extract(epoch FROM r.at) * 1000)::float8 AS at_ms,
              r.boot_id AS boot, r.seq::text AS seq, r.idx, st.id AS stream, r."values"
         FROM (${STREAMS}) st CROSS JOIN LATERAL (
           SELECT s.at, s.boot_id, s.seq, s.idx, s."values" FROM samples s
            WHERE s.stream_id = st.id AND ${IN_RANGE}
              AND ($8::timestamptz IS NULL OR (s.at >= $8::timestamptz
                AND (s.at, s.boot_id, s.seq, s.idx, s.stream_id) > ($8::timestamptz, $9::int, $10::int8, $11::int2, $12::int)))
            ORDER BY s.at, s.boot_id, s.seq, s.idx LIMIT $7
         ) r ORDER BY r.at, r.boot_id, r.seq, r.idx, st.id LIMIT $7`,
      [...parametersOf(range), limit, ...position],
    );
    return rows;
  }

  /**
   * Starts of the first `limit` steps that have samples. Jumps from step to step by the index, so that it reads one sample per
   * step, however many there are and however far they lie apart.
   */
  async bins(range: SampleRange, stepSeconds: number, limit: number): Promise<string[]> {
    const { rows } = await this.database.pool.query<{ at: string }>(
      `WITH RECURSIVE st AS (${STREAMS}), bins(bin, n) AS (
         SELECT date_bin(make_interval(secs => $7), f.at, ${ORIGIN}), 1 FROM (${earliestOf('')}) f WHERE f.at IS NOT NULL
         UNION ALL
         SELECT date_bin(make_interval(secs => $7), f.at, ${ORIGIN}), bins.n + 1
           FROM bins CROSS JOIN LATERAL (${earliestOf(' AND s.at >= bins.bin + make_interval(secs => $7)')}) f
          WHERE f.at IS NOT NULL AND bins.n < $8
       )
       SELECT ${isoOf('bin')} AS at FROM bins ORDER BY bin`,
      [...parametersOf(range), stepSeconds, limit],
    );
    return rows.map((row) => row.at);
  }

  /** Count, min, max and mean of each channel in each step that has values, from the step that begins at `last` backwards. */
  async aggregate(
    range: SampleRange,
    stepSeconds: number,
    last: string,
    places: readonly ChannelPlace[],
  ): Promise<BinRow[]> {
    const { rows } = await this.database.pool.query<BinRow>(
      `SELECT ${isoOf('bin')} AS at, channel, count, min, max, mean FROM (
         SELECT date_bin(make_interval(secs => $7), s.at, ${ORIGIN}) AS bin, p.channel,
                count(v.value)::int AS count, min(v.value), max(v.value), avg(v.value)::float8 AS mean
           FROM (${STREAMS}) st JOIN samples s ON s.stream_id = st.id
          CROSS JOIN LATERAL unnest(s."values") WITH ORDINALITY AS v(value, ordinal)
           JOIN unnest($9::int[], $10::int[], $11::int[]) AS p(stream, ordinal, channel)
             ON p.stream = s.stream_id AND p.ordinal = v.ordinal
          WHERE ${IN_RANGE} AND s.at < $8::timestamptz + make_interval(secs => $7)
          GROUP BY 1, 2
       ) b ORDER BY bin, channel`,
      [
        ...parametersOf(range),
        stepSeconds,
        last,
        places.map((place) => place.stream),
        places.map((place) => place.ordinal),
        places.map((place) => place.channel),
      ],
    );
    return rows;
  }
}

function parametersOf(range: SampleRange): unknown[] {
  return [range.fleet, range.device, range.stream, range.channels, range.from, range.to];
}

/** ISO 8601 in UTC with microseconds, whatever the session's time zone and style of dates are. */
function isoOf(expression: string): string {
  return `to_char(${expression} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

/** Time of the first or last sample of a row `st` of streams. */
function edgeOf(direction: 'ASC' | 'DESC'): string {
  return `(SELECT ${isoOf('s.at')} FROM samples s WHERE s.stream_id = st.id ORDER BY s.at ${direction} LIMIT 1)`;
}

/** A query for the time of the first sample of all `st` in the range. */
function earliestOf(condition: string): string {
  return `SELECT min(x.at) AS at FROM st CROSS JOIN LATERAL (
    SELECT s.at FROM samples s WHERE s.stream_id = st.id AND ${IN_RANGE}${condition} ORDER BY s.at LIMIT 1
  ) x`;
}
