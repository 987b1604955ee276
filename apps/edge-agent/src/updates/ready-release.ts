import { variantDigest } from '@drover/contracts';
import type { Manifest } from '@drover/contracts';
import type { ArtifactShelf } from './artifact-shelf.ts';
import { calibrationFor } from './planner.ts';
import { readStoredManifest } from './read-manifest.ts';
import type { ReadyRelease } from './release-engine.ts';
import { ManifestInvalidError } from './update-errors.ts';
import type { Attempt, ServedRelease } from './update-records.ts';

/** @throws ManifestInvalidError where the manifest does not have the variant */
export function readyRelease(shelf: ArtifactShelf, manifest: Manifest, served: ServedRelease): ReadyRelease {
  const variant = manifest.variants.find((one) => one.name === served.variant);
  if (variant === undefined) throw new ManifestInvalidError(`The manifest has no variant ${served.variant}`);
  const model = variant.artifacts.find((artifact) => artifact.digest === served.variantDigest);
  if (model === undefined) throw new ManifestInvalidError(`Variant ${served.variant} has no model`);
  return { served, manifest, variant, model, modelPath: shelf.path(model.digest) };
}

/** The candidates of an attempt that are still in question, the preferred first. @throws ArtifactDamagedError */
export async function candidatesOf(shelf: ArtifactShelf, attempt: Attempt): Promise<ReadyRelease[]> {
  const { target } = attempt;
  const manifest = readStoredManifest(await shelf.read(target.manifest));
  return attempt.variants.map((name) => readyRelease(shelf, manifest, servedBy(manifest, attempt, name)));
}

/** What would serve with a variant. */
export function servedBy(manifest: Manifest, { target }: Attempt, name: string): ServedRelease {
  const variant = manifest.variants.find((one) => one.name === name);
  if (variant === undefined) throw new ManifestInvalidError(`The manifest has no variant ${name}`);
  const digest = variantDigest(variant);
  return {
    model: manifest.model.id,
    release: target.release,
    releaseVersion: target.releaseVersion,
    rollout: target.rollout,
    manifest: target.manifest,
    variant: name,
    variantDigest: digest,
    provider: null,
    calibration: calibrationFor(target, digest),
  };
}
