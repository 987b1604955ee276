import type { Anomaly, AnomalyQuery, AnomalyResource } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { SqlParameters } from '../devices/sql-parameters.ts';
import { anomalyOrder } from './anomaly-order.ts';
import type { KnownAnomaly } from './anomaly-news.ts';

export interface NewAnomaly {
  readonly fleet: string;
  readonly device: string;
  readonly anomaly: Anomaly;
}

/** A revision that was stored, and what was stored before. */
export interface StoredRevision {
  readonly fleet: string;
  readonly device: string;
  readonly id: string;
  readonly known: KnownAnomaly | null;
}

interface StoredRow {
  fleet: string;
  device: string;
  id: string;
  state: Anomaly['state'] | null;
  peakScore: number | null;
}

interface AnomalyRow extends Omit<AnomalyResource, 'receivedAt'> {
  readonly receivedAt: Date;
}

const COLUMNS = `
  a.id, a.revision, a.pipeline, a.state, ${millisOf('started_at')} AS "startedAt", ${millisOf('ended_at')} AS "endedAt",
  ${millisOf('peak_at')} AS "peakAt", a.peak_score AS "peakScore", a.threshold, a.windows, a.contributions,
  a.release_id AS release, a.variant, a.variant_digest AS "variantDigest", a.provider,
  a.calibration_version AS "calibrationVersion", a.rollout_id AS rollout, a.device_id AS device, a.fleet_id AS fleet,
  a.received_at AS "receivedAt"`;

@Injectable()
export class AnomalyRepository {
  constructor(private readonly database: Database) {}

  /**
   * Stores revisions, of several fleets, in one statement; of each anomaly the highest revision wins.
   *
   * @param anomalies at most one per (fleet, device, id)
   * @returns those that were newer than what was stored
   */
  async upsert(tx: Transaction, anomalies: readonly NewAnomaly[]): Promise<StoredRevision[]> {
    const input = JSON.stringify(anomalies.map(({ fleet, device, anomaly }) => ({ fleet, device, ...anomaly })));
    const rows = await tx.$queryRaw<StoredRow[]>`
      WITH input AS (
        SELECT * FROM jsonb_to_recordset(${input}::jsonb) AS i(
          fleet text, device text, id text, revision int, pipeline text, state text, "startedAt" float8, "endedAt" float8,
          "peakAt" float8, "peakScore" float8, threshold float8, windows int, contributions jsonb, release text, variant text,
          "variantDigest" text, provider text, "calibrationVersion" int, rollout text)
      ), before AS (
        SELECT a.fleet_id, a.device_id, a.id, a.state, a.peak_score FROM anomalies a
          JOIN input i ON a.fleet_id = i.fleet AND a.device_id = i.device AND a.id = i.id
      ), stored AS (
        INSERT INTO anomalies (fleet_id, device_id, id, revision, pipeline, state, started_at, ended_at, peak_at, peak_score,
          threshold, windows, contributions, release_id, variant, variant_digest, provider, calibration_version, rollout_id)
        SELECT fleet, device, id, revision, pipeline, state, to_timestamp("startedAt" / 1000), to_timestamp("endedAt" / 1000),
               to_timestamp("peakAt" / 1000), "peakScore", threshold, windows, contributions, release, variant,
               "variantDigest", provider, "calibrationVersion", rollout
          FROM input ORDER BY fleet, device, id
        ON CONFLICT (fleet_id, device_id, id) DO UPDATE SET
          revision = excluded.revision, pipeline = excluded.pipeline, state = excluded.state,
          started_at = excluded.started_at, ended_at = excluded.ended_at, peak_at = excluded.peak_at,
          peak_score = excluded.peak_score, threshold = excluded.threshold, windows = excluded.windows,
          contributions = excluded.contributions, release_id = excluded.release_id, variant = excluded.variant,
          variant_digest = excluded.variant_digest, provider = excluded.provider,
          calibration_version = excluded.calibration_version, rollout_id = excluded.rollout_id
        WHERE anomalies.revision < excluded.revision
        RETURNING fleet_id, device_id, id
      )
      SELECT s.fleet_id AS fleet, s.device_id AS device, s.id, b.state, b.peak_score AS "peakScore"
        FROM stored s LEFT JOIN before b ON b.fleet_id = s.fleet_id AND b.device_id = s.device_id AND b.id = s.id`;
    return rows.map(({ fleet, device, id, state, peakScore }) => {
      return { fleet, device, id, known: state === null ? null : { state, peakScore: peakScore! } };
    });
  }

  async find(fleet: string, device: string, id: string): Promise<AnomalyResource | null> {
    const { rows } = await this.database.pool.query<AnomalyRow>(
      `SELECT ${COLUMNS} FROM anomalies a WHERE a.fleet_id = $1 AND a.device_id = $2 AND a.id = $3`,
      [fleet, device, id],
    );
    return rows[0] ? toResource(rows[0]) : null;
  }

  /** One page. A time range takes every anomaly that lies in it at least in part. */
  async page(fleet: string, query: AnomalyQuery): Promise<{ items: AnomalyResource[]; nextCursor: string | null }> {
    const parameters = new SqlParameters(fleet);
    const conditions = conditionsOf(query, parameters);
    const { orderBy, after, cursorOf } = anomalyOrder(query, parameters);
    const limit = parameters.add(query.limit + 1, 'int');
    const { rows } = await this.database.pool.query<AnomalyRow>(
      `SELECT ${COLUMNS} FROM anomalies a WHERE a.fleet_id = $1 ${conditions} ${after} ORDER BY ${orderBy} LIMIT ${limit}`,
      parameters.values,
    );
    const items = rows.slice(0, query.limit).map(toResource);
    return { items, nextCursor: rows.length > items.length ? cursorOf(items.at(-1)!) : null };
  }
}

function conditionsOf(query: AnomalyQuery, parameters: SqlParameters): string {
  const equals = {
    device_id: query.device,
    pipeline: query.pipeline,
    release_id: query.release,
    rollout_id: query.rollout,
    state: query.state,
    variant_digest: query.variantDigest,
  };
  const conditions = Object.entries(equals).flatMap(([column, value]) =>
    value === undefined ? [] : [`AND a.${column} = ${parameters.add(value, 'text')}`],
  );
  if (query.from !== undefined) {
    conditions.push(`AND (a.ended_at IS NULL OR a.ended_at >= ${parameters.add(query.from, 'timestamptz')})`);
  }
  if (query.to !== undefined) conditions.push(`AND a.started_at < ${parameters.add(query.to, 'timestamptz')}`);
  return conditions.join(' ');
}

function millisOf(column: string): string {
  return `(extract(epoch FROM a.${column}) * 1000)::float8`;
}

function toResource(row: AnomalyRow): AnomalyResource {
  return { ...row, receivedAt: row.receivedAt.toISOString() };
}
