import { variantDigest } from '@drover/contracts';
import type { ArtifactRef, Cost, Manifest, ModelCard, Refusal, ReleaseVariant, Variant } from '@drover/contracts';

/** What the database keeps of a variant besides its columns. */
export type VariantDocument = Pick<Variant, 'policy' | 'metrics' | 'providers' | 'minMemoryBytes'>;

/** A variant as it is stored: those of the manifest, which devices are offered, and those that the contract refuses. */
export interface VariantRecord {
  readonly name: string;
  readonly precision: string;
  readonly size: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly document: VariantDocument;
  readonly offered: boolean;
  readonly refusals: readonly Refusal[];
  readonly cost: Cost | null;
  readonly artifacts: readonly Pick<ArtifactRef, 'role' | 'digest' | 'encoding'>[];
}

/**
 * Those of the manifest first, in its order, then the refused ones of the card. Pure.
 *
 * @param artifacts every artifact of the release
 */
export function variantRecords(
  manifest: Pick<Manifest, 'variants'>,
  card: Pick<ModelCard, 'variants'>,
  artifacts: readonly Pick<ArtifactRef, 'digest' | 'encoding'>[],
): VariantRecord[] {
  const described = new Map(card.variants.map((variant) => [variant.name, variant]));
  const offered = manifest.variants.map((variant): VariantRecord => {
    const { name, precision, size, policy, metrics, providers, minMemoryBytes, artifacts: files } = variant;
    return {
      name,
      precision,
      size,
      digest: variantDigest(variant),
      sizeBytes: files.reduce((sum, artifact) => sum + artifact.sizeBytes, 0),
      document: {
        policy,
        metrics,
        ...(providers ? { providers } : {}),
        ...(minMemoryBytes === undefined ? {} : { minMemoryBytes }),
      },
      offered: true,
      refusals: [],
      cost: variant.cost ?? described.get(name)?.cost ?? null,
      artifacts: files.map(({ role, digest, encoding }) => ({ role, digest, encoding })),
    };
  });
  const encodings = new Map(artifacts.map(({ digest, encoding }) => [digest, encoding]));
  const names = new Set(offered.map(({ name }) => name));
  const refused = card.variants.filter(({ name }) => !names.has(name));
  return [
    ...offered,
    ...refused.map(({ name, precision, size, digest, sizeBytes, policy, metrics, cost, refusals }): VariantRecord => ({
      name,
      precision,
      size,
      digest,
      sizeBytes,
      document: { policy, metrics },
      offered: false,
      refusals,
      cost,
      artifacts: [{ role: 'model', digest, encoding: encodings.get(digest) ?? 'identity' }],
    })),
  ];
}

interface StoredVariant {
  readonly name: string;
  readonly precision: string;
  readonly size: string;
  readonly digest: string;
  readonly sizeBytes: bigint;
  readonly document: unknown;
  readonly offered: boolean;
  readonly refusals: unknown;
  readonly cost: unknown;
}

export function toReleaseVariant(row: StoredVariant): ReleaseVariant {
  const { policy, metrics } = row.document as VariantDocument;
  const { name, size, digest, offered } = row;
  return {
    name,
    precision: row.precision as ReleaseVariant['precision'],
    size,
    digest,
    sizeBytes: Number(row.sizeBytes),
    policy,
    metrics,
    cost: row.cost as Cost | null,
    offered,
    refusals: row.refusals as Refusal[],
  };
}
