import type { Artifact, PageQuery } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../../platform/http/page.ts';
import type { StoredArtifact } from '../../../platform/storage/artifact-store.ts';

interface ArtifactRow {
  readonly digest: string;
  readonly sizeBytes: bigint;
  readonly mediaType: string;
  readonly createdAt: Date;
}

@Injectable()
export class ArtifactRepository {
  constructor(private readonly database: Database) {}

  /** The same bytes twice are one artifact; the first media type stays. */
  async record(tx: Transaction, fleet: string, stored: StoredArtifact, mediaType: string): Promise<Artifact> {
    const key = { fleetId: fleet, digest: stored.digest };
    await tx.artifact.createMany({ data: [{ ...key, sizeBytes: stored.sizeBytes, mediaType }], skipDuplicates: true });
    return toArtifact(await tx.artifact.findUniqueOrThrow({ where: { fleetId_digest: key } }));
  }

  async find(fleet: string, digest: string): Promise<Artifact | null> {
    const row = await this.database.prisma.artifact.findUnique({
      where: { fleetId_digest: { fleetId: fleet, digest } },
    });
    return row && toArtifact(row);
  }

  async list(fleet: string, page: PageQuery): Promise<{ items: Artifact[]; nextCursor: string | null }> {
    const after = readCursor(page.cursor, ['text']);
    const rows = await this.database.prisma.artifact.findMany({
      where: { fleetId: fleet, ...(after ? { digest: { gt: after[0] } } : {}) },
      orderBy: { digest: 'asc' },
      take: page.limit + 1,
    });
    return pageOfRows(rows.map(toArtifact), page.limit, (row) => [row.digest]);
  }

  /**
   * Whether the device's desired state names the artifact: a manifest of one of its pipelines, or a variant of such a
   * release that keeps the compression contract. A device may read nothing else.
   */
  async isDesiredBy(fleet: string, device: string, digest: string): Promise<boolean> {
    const { rowCount } = await this.database.pool.query(
      `SELECT 1 FROM twins t CROSS JOIN LATERAL jsonb_each(t.desired->'pipelines') AS p
        WHERE t.fleet_id = $1 AND t.device_id = $2
          AND (p.value->'manifest'->>'digest' = $3
               OR EXISTS (SELECT 1 FROM variant_artifacts a JOIN variants v
                              ON v.fleet_id = a.fleet_id AND v.release_id = a.release_id AND v.name = a.variant
                           WHERE a.fleet_id = $1 AND a.release_id = p.value->>'release' AND a.digest = $3 AND v.offered))
        LIMIT 1`,
      [fleet, device, digest],
    );
    return (rowCount ?? 0) > 0;
  }
}

function toArtifact(row: ArtifactRow): Artifact {
  return {
    digest: row.digest,
    sizeBytes: Number(row.sizeBytes),
    mediaType: row.mediaType,
    createdAt: row.createdAt.toISOString(),
  };
}
