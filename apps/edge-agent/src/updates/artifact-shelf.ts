import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { messageOf } from '@drover/runtime';
import { ArtifactDamagedError } from './update-errors.ts';

export interface ArtifactName {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** The agent's artifacts: one file each, named by its SHA-256. A file of that name is complete: parts are named differently. */
export class ArtifactShelf {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  path(digest: string): string {
    return join(this.folder, digest);
  }

  async has(artifact: ArtifactName): Promise<boolean> {
    try {
      return (await stat(this.path(artifact.digest))).size === artifact.sizeBytes;
    } catch {
      return false;
    }
  }

  /**
   * Reads a whole artifact, checking that it still is what its name says.
   *
   * @throws ArtifactDamagedError
   */
  async read(artifact: ArtifactName): Promise<Buffer> {
    try {
      const bytes = await readFile(this.path(artifact.digest));
      if (createHash('sha256').update(bytes).digest('hex') === artifact.digest) return bytes;
    } catch (error) {
      throw new ArtifactDamagedError(`Artifact ${artifact.digest} cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    }
    throw await this.#damaged(artifact);
  }

  /**
   * Checks size and SHA-256 of the bytes on disk; memory cards lose bits. One that does not hold is removed, so that it can
   * be fetched again.
   *
   * @throws ArtifactDamagedError
   */
  async check(artifact: ArtifactName): Promise<void> {
    const hash = createHash('sha256');
    try {
      await pipeline(createReadStream(this.path(artifact.digest)), hash);
    } catch (error) {
      throw new ArtifactDamagedError(`Artifact ${artifact.digest} cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    }
    if (hash.digest('hex') !== artifact.digest) throw await this.#damaged(artifact);
  }

  /** Removes everything that is not named here, parts of downloads included. @returns the names removed */
  async sweep(keep: ReadonlySet<string>): Promise<string[]> {
    const removed: string[] = [];
    for (const name of await readdir(this.folder)) {
      if (keep.has(name.slice(0, 64))) continue;
      await rm(join(this.folder, name), { recursive: true, force: true });
      removed.push(name);
    }
    return removed;
  }

  async #damaged(artifact: ArtifactName): Promise<ArtifactDamagedError> {
    await rm(this.path(artifact.digest), { force: true });
    return new ArtifactDamagedError(`Artifact ${artifact.digest} is damaged on this device's disk and was removed`);
  }
}
