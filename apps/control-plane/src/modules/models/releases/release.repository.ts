import { variantDigest } from '@drover/contracts';
import type { Manifest, QueryOf, Release, Training, Variant, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { Prisma } from '../../../generated/prisma/client.ts';
import { pageOfRows, readCursor } from '../../../platform/http/page.ts';

const withVariants = { variants: { orderBy: { name: 'asc' } } } satisfies Prisma.ReleaseInclude;
type ReleaseRow = Prisma.ReleaseGetPayload<{ include: typeof withVariants }>;

/** What the database keeps of a variant besides its columns. */
type VariantDocument = Pick<Variant, 'policy' | 'metrics' | 'providers' | 'minMemoryBytes'>;

@Injectable()
export class ReleaseRepository {
  constructor(private readonly database: Database) {}

  /** The next version of the model; the model's row is locked, so that two creations can't draw the same number. */
  async create(tx: Transaction, fleet: string, id: string, model: string, training: Training): Promise<Release> {
    await tx.$queryRaw`SELECT 1 FROM models WHERE fleet_id = ${fleet} AND id = ${model} FOR NO KEY UPDATE`;
    const [next] = await tx.$queryRaw<{ version: number }[]>`
      SELECT coalesce(max(version), 0) + 1 AS version FROM releases WHERE fleet_id = ${fleet} AND model_id = ${model}`;
    const row = await tx.release.create({
      data: {
        fleetId: fleet,
        id,
        modelId: model,
        version: next!.version,
        family: training.family,
        training,
      },
      include: withVariants,
    });
    return toRelease(row);
  }

  async find(fleet: string, id: string, tx: Transaction = this.database.prisma): Promise<Release | null> {
    const row = await tx.release.findUnique({ where: { fleetId_id: { fleetId: fleet, id } }, include: withVariants });
    return row && toRelease(row);
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

  async progress(fleet: string, id: string, progress: number, phase: string): Promise<void> {
    await this.database.prisma.release.updateMany({
      where: { fleetId: fleet, id, status: 'BUILDING' },
      data: { progress, phase },
    });
  }

  /** @returns false where it is no longer BUILDING: another worker was first */
  async ready(
    tx: Transaction,
    fleet: string,
    id: string,
    manifest: Manifest,
    manifestDigest: string,
  ): Promise<boolean> {
    const { count } = await tx.release.updateMany({
      where: { fleetId: fleet, id, status: 'BUILDING' },
      data: { status: 'READY', progress: 1, phase: 'ready', manifestDigest, readyAt: new Date() },
    });
    if (count === 0) return false;
    await tx.variant.createMany({
      data: manifest.variants.map((variant) => ({
        fleetId: fleet,
        releaseId: id,
        name: variant.name,
        precision: variant.precision,
        size: variant.size,
        digest: variantDigest(variant),
        sizeBytes: variant.artifacts.reduce((sum, artifact) => sum + artifact.sizeBytes, 0),
        document: documentOf(variant),
      })),
    });
    await tx.variantArtifact.createMany({
      data: manifest.variants.flatMap((variant) =>
        variant.artifacts.map(({ role, digest }) => ({
          fleetId: fleet,
          releaseId: id,
          variant: variant.name,
          role,
          digest,
        })),
      ),
    });
    return true;
  }

  async failed(tx: Transaction, fleet: string, id: string, code: string, message: string): Promise<boolean> {
    const { count } = await tx.release.updateMany({
      where: { fleetId: fleet, id, status: 'BUILDING' },
      data: { status: 'FAILED', phase: 'failed', errorCode: code, errorMessage: message },
    });
    return count > 0;
  }

  /** Releases of all fleets whose build has not ended: what the reconciler makes jobs of. */
  async building(): Promise<{ fleet: string; id: string }[]> {
    const rows = await this.database.prisma.release.findMany({
      where: { status: 'BUILDING' },
      select: { fleetId: true, id: true },
      take: 100,
    });
    return rows.map((row) => ({ fleet: row.fleetId, id: row.id }));
  }
}

function documentOf({ policy, metrics, providers, minMemoryBytes }: Variant): VariantDocument {
  return {
    policy,
    metrics,
    ...(providers ? { providers } : {}),
    ...(minMemoryBytes === undefined ? {} : { minMemoryBytes }),
  };
}

function toRelease(row: ReleaseRow): Release {
  return {
    id: row.id,
    model: row.modelId,
    version: row.version,
    status: row.status as Release['status'],
    progress: row.progress,
    phase: row.phase,
    error: row.errorCode === null ? null : { code: row.errorCode, message: row.errorMessage ?? '' },
    family: row.family,
    training: row.training as Training | null,
    manifestDigest: row.manifestDigest,
    variants: row.variants.map((variant) => {
      const { policy, metrics } = variant.document as VariantDocument;
      const { name, precision, size, digest } = variant;
      return {
        name,
        precision: precision as Variant['precision'],
        size,
        digest,
        sizeBytes: Number(variant.sizeBytes),
        policy,
        metrics,
      };
    }),
    createdAt: row.createdAt.toISOString(),
    readyAt: row.readyAt?.toISOString() ?? null,
  };
}
