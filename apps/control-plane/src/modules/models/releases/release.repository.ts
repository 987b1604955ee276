import type { QueryOf, Release, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Prisma } from '../../../generated/prisma/client.ts';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../../platform/http/page.ts';
import type { OfferedVariant } from '../candidates/candidate-plan.ts';
import { toReleaseVariant } from './variant-rows.ts';
import type { VariantDocument, VariantRecord } from './variant-rows.ts';

const withVariants = {
  variants: { orderBy: { name: 'asc' } },
  build: { select: { id: true } },
} satisfies Prisma.ReleaseInclude;
type ReleaseRow = Prisma.ReleaseGetPayload<{ include: typeof withVariants }>;

/** What a build has made of a release. */
export interface FinishedRelease {
  readonly family: string;
  readonly manifestDigest: string;
  readonly cardDigest: string;
  readonly variants: readonly VariantRecord[];
}

@Injectable()
export class ReleaseRepository {
  constructor(private readonly database: Database) {}

  /** The next version of the model; the model's row is locked, so that two creations can't draw the same number. */
  async create(tx: Transaction, fleet: string, id: string, model: string, family: string): Promise<Release> {
    await tx.$queryRaw`SELECT 1 FROM models WHERE fleet_id = ${fleet} AND id = ${model} FOR NO KEY UPDATE`;
    const [next] = await tx.$queryRaw<{ version: number }[]>`
      SELECT coalesce(max(version), 0) + 1 AS version FROM releases WHERE fleet_id = ${fleet} AND model_id = ${model}`;
    const row = await tx.release.create({
      data: { fleetId: fleet, id, modelId: model, version: next!.version, family },
      include: withVariants,
    });
    return toRelease(row);
  }

  async find(fleet: string, id: string, tx: Transaction = this.database.prisma): Promise<Release | null> {
    const row = await tx.release.findUnique({ where: { fleetId_id: { fleetId: fleet, id } }, include: withVariants });
    return row && toRelease(row);
  }

  /** @returns undefined where there is no such release, null where it has no card */
  async cardDigest(fleet: string, id: string): Promise<string | null | undefined> {
    const row = await this.database.prisma.release.findUnique({
      where: { fleetId_id: { fleetId: fleet, id } },
      select: { cardDigest: true },
    });
    return row?.cardDigest;
  }

  /** What devices may be offered: never a variant that the contract refuses. */
  async offered(fleet: string, id: string, tx: Transaction = this.database.prisma): Promise<OfferedVariant[]> {
    const rows = await tx.variant.findMany({
      where: { fleetId: fleet, releaseId: id, offered: true },
      orderBy: { name: 'asc' },
      select: { name: true, precision: true, size: true, document: true },
    });
    return rows.map(({ name, precision, size, document }) => {
      const { metrics, minMemoryBytes } = document as VariantDocument;
      return { name, precision, size, minMemoryBytes, vusPrLoss: metrics.vusPrLoss };
    });
  }

  async list(
    fleet: string,
    query: QueryOf<typeof api.releases.list>,
  ): Promise<{ items: Release[]; nextCursor: string | null }> {
    const descending = query.sort.startsWith('-');
    const key = query.sort.replace('-', '') as 'createdAt' | 'version';
    const after = readCursor(query.cursor, [key === 'version' ? 'integer' : 'instant', 'text']);
    const beyond = descending ? 'lt' : 'gt';
    const rows = await this.database.prisma.release.findMany({
      where: {
        fleetId: fleet,
        ...(query.model === undefined ? {} : { modelId: query.model }),
        ...(query.status === undefined ? {} : { status: query.status }),
        ...(after ? { OR: [{ [key]: { [beyond]: after[0] } }, { [key]: after[0], id: { [beyond]: after[1] } }] } : {}),
      },
      orderBy: [{ [key]: descending ? 'desc' : 'asc' }, { id: descending ? 'desc' : 'asc' }],
      take: query.limit + 1,
      include: withVariants,
    });
    return pageOfRows(rows.map(toRelease), query.limit, (row) => [row[key], row.id]);
  }

  /** @returns false where it is no longer BUILDING */
  async ready(tx: Transaction, fleet: string, id: string, finished: FinishedRelease): Promise<boolean> {
    const { family, manifestDigest, cardDigest, variants } = finished;
    const { count } = await tx.release.updateMany({
      where: { fleetId: fleet, id, status: 'BUILDING' },
      data: { status: 'READY', family, manifestDigest, cardDigest, readyAt: new Date() },
    });
    if (count === 0) return false;
    const key = { fleetId: fleet, releaseId: id };
    await tx.variant.createMany({
      data: variants.map(({ name, precision, size, digest, sizeBytes, document, offered, refusals, cost }) => ({
        ...key,
        name,
        precision,
        size,
        digest,
        sizeBytes,
        document,
        offered,
        refusals: [...refusals],
        cost: cost ?? Prisma.DbNull,
      })),
    });
    await tx.variantArtifact.createMany({
      data: variants.flatMap(({ name, artifacts }) =>
        artifacts.map((artifact) => ({ ...key, variant: name, ...artifact })),
      ),
      skipDuplicates: true,
    });
    return true;
  }

  /** Ends it without a manifest. */
  async ended(tx: Transaction, fleet: string, id: string, status: 'FAILED' | 'CANCELED'): Promise<void> {
    await tx.release.updateMany({ where: { fleetId: fleet, id, status: 'BUILDING' }, data: { status } });
  }
}

function toRelease(row: ReleaseRow): Release {
  return {
    id: row.id,
    model: row.modelId,
    version: row.version,
    status: row.status as Release['status'],
    build: row.build?.id ?? null,
    family: row.family,
    manifestDigest: row.manifestDigest,
    variants: row.variants.map(toReleaseVariant),
    createdAt: row.createdAt.toISOString(),
    readyAt: row.readyAt?.toISOString() ?? null,
  };
}
