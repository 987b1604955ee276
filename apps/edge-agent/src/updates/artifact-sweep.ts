import type { DesiredPipeline } from '@drover/contracts';
import { messageOf } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import type { ArtifactName, ArtifactShelf } from './artifact-shelf.ts';
import { readStoredManifest } from './read-manifest.ts';
import type { PipelineRecord } from './update-records.ts';

/**
 * Removes the artifacts that nobody needs any more. Kept are those of what serves, of what served before, of attempts, and
 * of what is wanted now (even if it failed: it may be tried again).
 */
export async function sweepArtifacts(
  shelf: ArtifactShelf,
  records: readonly PipelineRecord[],
  wanted: readonly DesiredPipeline[],
  logger: Logger,
): Promise<void> {
  const needs: { manifest: ArtifactName; variants: readonly string[] }[] = [
    ...records
      .flatMap((record) => [record.serving, record.previous, record.attempt?.chosen ?? null])
      .flatMap((served) => (served === null ? [] : [{ manifest: served.manifest, variants: [served.variant] }])),
    ...[...records.flatMap((record) => record.attempt?.target ?? []), ...wanted].map((target) => ({
      manifest: target.manifest,
      variants: target.candidates,
    })),
  ];
  try {
    const keep = new Set<string>();
    for (const { manifest, variants } of needs) {
      keep.add(manifest.digest);
      for (const digest of await modelDigests(shelf, manifest, variants)) keep.add(digest);
    }
    const removed = await shelf.sweep(keep);
    if (removed.length > 0) logger.debug({ removed }, 'artifacts removed that nothing refers to any more');
  } catch (error) {
    logger.warn({}, `artifacts could not be tidied: ${messageOf(error)}`);
  }
}

async function modelDigests(
  shelf: ArtifactShelf,
  manifest: ArtifactName,
  variants: readonly string[],
): Promise<string[]> {
  if (!(await shelf.has(manifest))) return [];
  return readStoredManifest(await shelf.read(manifest))
    .variants.filter((variant) => variants.includes(variant.name))
    .flatMap((variant) => variant.artifacts.map((artifact) => artifact.digest));
}
