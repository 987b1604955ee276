import { MAX_MANIFEST_BYTES, manifestSchema } from '@drover/contracts';
import type { DesiredPipeline, KeySet, Manifest } from '@drover/contracts';
import { messageOf, problemsOf } from '@drover/runtime';
import { verifyDocument } from '@drover/trust';
import { ManifestInvalidError } from './update-errors.ts';

export interface ManifestTrust {
  readonly fleet: string;
  readonly keySet: KeySet;
  readonly now: number;
}

/**
 * The manifest in an artifact's bytes, after its signature was checked, and that it is the one of this fleet and release.
 *
 * @throws UntrustedError where the signature does not hold, ManifestInvalidError where it is no manifest or another's
 */
export function readManifest(bytes: Buffer, target: DesiredPipeline, trust: ManifestTrust): Manifest {
  const manifest = parseManifest(verifyDocument('manifest', parseDocument(bytes), trust));
  if (manifest.fleet !== trust.fleet) {
    throw new ManifestInvalidError(`The manifest is of fleet ${manifest.fleet}, this device is in ${trust.fleet}`);
  }
  const { id, version } = manifest.release;
  if (id !== target.release || version !== target.releaseVersion) {
    throw new ManifestInvalidError(
      `The manifest describes release ${id} (version ${version}), wanted is ${target.release} (version ${target.releaseVersion})`,
    );
  }
  return manifest;
}

/** A manifest that was checked when it was fetched, whose bytes were just compared with their digest. */
export function readStoredManifest(bytes: Buffer): Manifest {
  return parseManifest((parseDocument(bytes) as { payload?: unknown } | null)?.payload);
}

function parseDocument(bytes: Buffer): unknown {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new ManifestInvalidError(`The manifest is ${bytes.length} bytes, more than ${MAX_MANIFEST_BYTES}`);
  }
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new ManifestInvalidError(`The manifest is not JSON: ${messageOf(error)}`, { cause: error });
  }
}

function parseManifest(payload: unknown): Manifest {
  const parsed = manifestSchema.safeParse(payload);
  if (parsed.success) return parsed.data;
  const problems = problemsOf(parsed.error);
  const first = problems[0]!;
  throw new ManifestInvalidError(`The manifest is malformed: ${first.path}: ${first.message}`, { problems });
}
