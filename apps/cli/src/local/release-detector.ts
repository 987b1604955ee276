import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { api } from '@drover/contracts';
import type { ArtifactRef, Variant } from '@drover/contracts';
import type { BacktestDetector, ManifestDraft } from '@drover/factory';
import { unpackModel } from '@drover/inference';
import { InvalidInputError } from '@drover/runtime';
import { connect } from '../connection.ts';
import type { ConnectionOptions } from '../connection.ts';
import { InvalidReleaseError, readArtifact, readManifest, verifyDigest } from './release-folder.ts';

/** A release's manifest, and how its artifacts are fetched. */
interface OpenedRelease {
  readonly manifest: ManifestDraft;
  readonly fetchArtifact: (artifact: ArtifactRef) => Promise<Uint8Array>;
}

/**
 * One variant of a release as a detector, from a folder that `drover factory` wrote or from the control plane. Every digest is
 * verified.
 *
 * @param release a folder, or the id of a release
 * @param wanted name of the variant; by default fp32 as it was trained, else the first
 * @throws InvalidReleaseError, InvalidInputError for a variant that it does not have
 */
export async function releaseDetector(
  release: string,
  wanted: string | undefined,
  connection: ConnectionOptions,
): Promise<BacktestDetector> {
  return detectorOf(await openRelease(release, connection), wanted);
}

/** Names of the variants that a release offers. */
export async function variantNames(release: string, connection: ConnectionOptions): Promise<string[]> {
  return (await openRelease(release, connection)).manifest.variants.map(({ name }) => name);
}

async function openRelease(release: string, connection: ConnectionOptions): Promise<OpenedRelease> {
  const folder = await stat(release).catch(() => undefined);
  if (folder?.isDirectory()) {
    return {
      manifest: await readManifest(release),
      fetchArtifact: (artifact) => readArtifact(release, artifact),
    };
  }
  if (folder !== undefined || /[/\\.]/.test(release)) {
    throw new InvalidInputError(
      `${release} is no folder with a release (expected is ${join(release, 'manifest.json')}).`,
    );
  }
  const client = connect(connection);
  const { payload } = await client.call(api.releases.manifest, { params: { release } });
  return {
    manifest: payload,
    fetchArtifact: async (artifact) => {
      const bytes = await client.download(artifact.digest);
      verifyDigest(bytes, artifact, `What the server sent for ${artifact.digest}`);
      return bytes;
    },
  };
}

async function detectorOf(
  { manifest, fetchArtifact }: OpenedRelease,
  wanted: string | undefined,
): Promise<BacktestDetector> {
  const { family, signature, variants } = manifest;
  const variant = chosen(variants, wanted);
  const artifact = variant.artifacts.find(({ role }) => role === 'model');
  if (artifact === undefined) throw new InvalidReleaseError(`The variant "${variant.name}" has no model.`);
  const model = await unpackModel(await fetchArtifact(artifact), artifact);
  if (typeof model === 'string') throw new InvalidReleaseError('A model is bytes here.');
  return { family: `${family} (${variant.name})`, model, signature, policy: variant.policy };
}

function chosen(variants: readonly Variant[], wanted: string | undefined): Variant {
  const found =
    wanted === undefined
      ? (variants.find(({ precision, size }) => precision === 'fp32' && size === 'full') ?? variants[0])
      : variants.find(({ name }) => name === wanted);
  if (found !== undefined) return found;
  throw new InvalidInputError(
    `There is no variant "${wanted}"; there are ${variants.map(({ name }) => name).join(', ')}.`,
  );
}
