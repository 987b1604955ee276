import type { BenchmarkRecord, QueryOf, Tier, TierChoice, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Prisma } from '../../../generated/prisma/client.ts';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../../platform/http/page.ts';
import type { MeasuredGroup } from '../candidates/tier-learning.ts';

interface BenchmarkRow {
  readonly device: string;
  readonly tier: Tier;
  readonly simulated: boolean;
  readonly pipeline: string;
  readonly release: string;
  readonly variant: string;
  readonly provider: string;
  readonly runs: number;
  readonly p50Us: number;
  readonly p95Us: number;
  readonly p99Us: number;
  readonly memoryBytes: number | null;
  readonly beforeC: number | null;
  readonly afterC: number | null;
  readonly chosen: boolean;
  readonly reason: string | null;
  readonly atMs: number;
  readonly boot: number;
  readonly seq: string;
}

export type MeasuredVariant = TierChoice['variants'][number] & { readonly tier: Tier };

/** Devices' clocks may be anywhere; an instant has four digits of year. */
const LAST_INSTANT_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
/** The tier counts that a device has now. */
const TIER = 'coalesce(d.tier_override, d.tier)';
const TIER_SQL = Prisma.raw(TIER);

/** What devices measured of variants on their own hardware. */
@Injectable()
export class BenchmarkRepository {
  constructor(private readonly database: Database) {}

  async list(
    fleet: string,
    query: QueryOf<typeof api.benchmarks.list>,
  ): Promise<{ items: BenchmarkRecord[]; nextCursor: string | null }> {
    const after = readCursor(query.cursor, ['instant', 'integer', 'serial']);
    const { release = null, variant = null, device = null, tier = null } = query;
    // Instants as numbers: those of a device's clock may have more digits than texts of instants do.
    const { rows } = await this.database.pool.query<BenchmarkRow>(
      `SELECT b.device_id AS device, ${TIER} AS tier, coalesce((d.profile->>'simulated')::boolean, false) AS simulated,
              b.pipeline, b.release_id AS release, b.variant, b.provider, b.runs, b.p50_us AS "p50Us", b.p95_us AS "p95Us",
              b.p99_us AS "p99Us", b.memory_bytes::float8 AS "memoryBytes", b.before_c AS "beforeC", b.after_c AS "afterC",
              b.chosen, b.reason, (extract(epoch FROM b.at) * 1000)::float8 AS "atMs", b.boot_id AS boot, b.seq::text AS seq
         FROM benchmarks b JOIN devices d ON d.fleet_id = b.fleet_id AND d.id = b.device_id
        WHERE b.fleet_id = $1
          AND ($2::text IS NULL OR b.release_id = $2) AND ($3::text IS NULL OR b.variant = $3)
          AND ($4::text IS NULL OR b.device_id = $4) AND ($5::text IS NULL OR ${TIER} = $5)
          AND ($6::float8 IS NULL OR (b.at, b.boot_id, b.seq) < (to_timestamp($6 / 1000), $7::int, $8::int8))
        ORDER BY b.at DESC, b.boot_id DESC, b.seq DESC LIMIT $9`,
      [
        fleet,
        release,
        variant,
        device,
        tier,
        after?.[0].getTime() ?? null,
        after?.[1] ?? 0,
        String(after?.[2] ?? 0),
        query.limit + 1,
      ],
    );
    const page = pageOfRows(rows, query.limit, (row) => [new Date(row.atMs).toISOString(), row.boot, row.seq]);
    return { items: page.items.map(toBenchmark), nextCursor: page.nextCursor };
  }

  /**
   * Of each tier's devices: how many measured which set of the release's variants and chose which. Few rows, however many devices.
   */
  async groups(
    fleet: string,
    release: string,
    tx: Transaction = this.database.prisma,
  ): Promise<(MeasuredGroup & { readonly tier: string })[]> {
    return tx.$queryRaw`
      SELECT tier, variants, chosen, count(*)::int AS devices FROM (
        SELECT ${TIER_SQL} AS tier, array_agg(DISTINCT b.variant) AS variants,
               (array_agg(b.variant ORDER BY b.at DESC, b.boot_id DESC, b.seq DESC) FILTER (WHERE b.chosen))[1] AS chosen
          FROM benchmarks b JOIN devices d ON d.fleet_id = b.fleet_id AND d.id = b.device_id
         -- A variant that was dropped before it was measured has no times.
         WHERE b.fleet_id = ${fleet} AND b.release_id = ${release} AND b.runs > 0
         GROUP BY b.device_id, 1
      ) measured WHERE chosen IS NOT NULL GROUP BY tier, variants, chosen`;
  }

  /** By tier and variant: how many devices measured it and took it, and the medians over devices of each one's fastest runs. */
  async measured(fleet: string, release: string): Promise<MeasuredVariant[]> {
    return this.database.prisma.$queryRaw`
      WITH fastest AS (
        SELECT DISTINCT ON (b.device_id, b.variant) ${TIER_SQL} AS tier, b.device_id, b.variant, b.p50_us, b.p99_us
          FROM benchmarks b JOIN devices d ON d.fleet_id = b.fleet_id AND d.id = b.device_id
         -- A variant that was dropped before it was measured has no times.
         WHERE b.fleet_id = ${fleet} AND b.release_id = ${release} AND b.runs > 0
         ORDER BY b.device_id, b.variant, b.p50_us
      ), taken AS (
        SELECT DISTINCT ON (device_id) device_id, variant FROM benchmarks
         WHERE fleet_id = ${fleet} AND release_id = ${release} AND chosen
         ORDER BY device_id, at DESC, boot_id DESC, seq DESC
      )
      SELECT f.tier, f.variant, count(*)::int AS devices, count(t.variant)::int AS "chosenBy",
             percentile_cont(0.5) WITHIN GROUP (ORDER BY f.p50_us) AS "p50Us",
             percentile_cont(0.5) WITHIN GROUP (ORDER BY f.p99_us) AS "p99Us"
        FROM fastest f LEFT JOIN taken t ON t.device_id = f.device_id AND t.variant = f.variant
       GROUP BY f.tier, f.variant ORDER BY f.tier, f.variant`;
  }
}

function toBenchmark({ beforeC, afterC, atMs, ...row }: BenchmarkRow): BenchmarkRecord {
  const { device, tier, simulated, pipeline, release, variant, provider, runs } = row;
  const { p50Us, p95Us, p99Us, memoryBytes, chosen, reason } = row;
  return {
    device,
    tier,
    simulated,
    pipeline,
    release,
    variant,
    provider,
    runs,
    p50Us,
    p95Us,
    p99Us,
    memoryBytes,
    chosen,
    reason,
    temperature: beforeC === null || afterC === null ? null : { beforeC, afterC },
    at: new Date(Math.min(atMs, LAST_INSTANT_MS)).toISOString(),
  };
}
