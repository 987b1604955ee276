import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { modelCardSchema } from '@drover/contracts';
import type { ArtifactRef, ModelCard } from '@drover/contracts';
import { manifestDraftSchema } from '@drover/factory';
import type { BuiltRelease, ManifestDraft } from '@drover/factory';
import { CallerError, OperationError, messageOf, problemsOf } from '@drover/runtime';

/** The folder does not hold a release, or not the one that its manifest describes. */
export class InvalidReleaseError extends CallerError {}
/** The folder cannot be read or written. */
export class ReleaseFolderError extends OperationError {}

/**
 * A release on disk: `manifest.json` (without what only a control plane knows), `artifacts/<sha256>`, `card.json`, `card.md`.
 * It is written beside its place and moved there, so that half a release never has the name of a whole one.
 *
 * @throws ReleaseFolderError, also where the folder exists
 */
export async function writeReleaseFolder(folder: string, release: BuiltRelease, cardText: string): Promise<void> {
  const partial = `${folder}.part`;
  try {
    await mkdir(dirname(folder), { recursive: true });
    await rm(partial, { recursive: true, force: true });
    await mkdir(join(partial, 'artifacts'), { recursive: true });
    for (const { digest, bytes } of release.artifacts) await writeFile(join(partial, 'artifacts', digest), bytes);
    await writeFile(join(partial, 'manifest.json'), `${JSON.stringify(release.manifestDraft)}\n`);
    await writeFile(join(partial, 'card.json'), `${JSON.stringify(release.card, null, 2)}\n`);
    await writeFile(join(partial, 'card.md'), cardText);
    await rename(partial, folder);
  } catch (cause) {
    await rm(partial, { recursive: true, force: true });
    const exists = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '');
    const reason = exists ? 'it exists already: remove it, or give another name' : messageOf(cause);
    throw new ReleaseFolderError(`Cannot write the release to ${folder}: ${reason}`, { cause });
  }
}

/** @throws InvalidReleaseError, ReleaseFolderError */
export async function readManifest(folder: string): Promise<ManifestDraft> {
  // A whole manifest, as a control plane has it, holds a draft's fields and more.
  const parsed = manifestDraftSchema.safeParse(await readJson(join(folder, 'manifest.json')));
  if (!parsed.success) {
    throw new InvalidReleaseError(`${folder} holds no release: manifest.json is no manifest`, {
      problems: problemsOf(parsed.error),
    });
  }
  return parsed.data;
}

/** @throws InvalidReleaseError, ReleaseFolderError */
export async function readCard(folder: string): Promise<ModelCard> {
  const parsed = modelCardSchema.safeParse(await readJson(join(folder, 'card.json')));
  if (!parsed.success) {
    throw new InvalidReleaseError(`${folder}: card.json is no model card`, { problems: problemsOf(parsed.error) });
  }
  return parsed.data;
}

/** The artifact's bytes, as they are transferred. @throws InvalidReleaseError where they are not what the manifest names */
export async function readArtifact(folder: string, artifact: ArtifactRef): Promise<Uint8Array> {
  const path = join(folder, 'artifacts', artifact.digest);
  const bytes = await read(path);
  verifyDigest(bytes, artifact, path);
  return bytes;
}

/** @throws InvalidReleaseError */
export function verifyDigest(bytes: Uint8Array, { digest }: ArtifactRef, what: string): void {
  const found = createHash('sha256').update(bytes).digest('hex');
  if (found !== digest) {
    throw new InvalidReleaseError(
      `${what} is not the artifact of the manifest: its SHA-256 is ${found}, not ${digest}`,
    );
  }
}

async function readJson(path: string): Promise<unknown> {
  const text = (await read(path)).toString();
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new InvalidReleaseError(`${path} is no JSON`, { cause });
  }
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ReleaseFolderError(`Cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}
