import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { ReadStream } from 'node:fs';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makePrivateFolder, syncFolder } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { NoSpaceError, NotFoundError, PayloadTooLargeError } from '../http/errors.ts';

export interface StoredArtifact {
  readonly digest: string;
  readonly sizeBytes: number;
}

/**
 * Immutable bytes named by their SHA-256, as files: `artifacts/ab/cdef…`.
 *
 * INVARIANT: a file under its final name is whole and on the disk: it is written under a temporary name, synced, renamed, and
 * its folder synced. Putting the same bytes twice, or from two processes, ends in the same file.
 */
@Injectable()
export class ArtifactStore {
  readonly #root: string;
  readonly #incoming: string;

  constructor(dataDir: string) {
    this.#root = join(dataDir, 'artifacts');
    this.#incoming = join(this.#root, 'incoming');
  }

  async start(): Promise<void> {
    await makePrivateFolder(this.#incoming);
  }

  /**
   * Stores a stream of bytes.
   *
   * @throws PayloadTooLargeError over `maxBytes`; nothing stays behind
   */
  async put(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<StoredArtifact> {
    const temporary = join(this.#incoming, randomBytes(12).toString('hex'));
    const hash = createHash('sha256');
    let sizeBytes = 0;
    const file = await open(temporary, 'wx', 0o600);
    try {
      try {
        for await (const chunk of source) {
          sizeBytes += chunk.length;
          if (sizeBytes > maxBytes)
            throw new PayloadTooLargeError(
              `The artifact is larger than ${maxBytes} bytes, the limit set by DROVER_MAX_ARTIFACT.`,
            );
          hash.update(chunk);
          await file.write(chunk);
        }
        await file.sync();
      } finally {
        await file.close();
      }
      const digest = hash.digest('hex');
      const folder = join(this.#root, digest.slice(0, 2));
      await makePrivateFolder(folder);
      await rename(temporary, this.path(digest));
      await syncFolder(folder);
      return { digest, sizeBytes };
    } catch (error) {
      await rm(temporary, { force: true });
      const full = ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '');
      throw full ? new NoSpaceError('There is no space left for the artifact.', { cause: error }) : error;
    }
  }

  async putBytes(bytes: Uint8Array): Promise<StoredArtifact> {
    return this.put(
      (async function* () {
        yield bytes;
      })(),
      bytes.length,
    );
  }

  /** @throws NotFoundError where the bytes are not here */
  async size(digest: string): Promise<number> {
    try {
      return (await stat(this.path(digest))).size;
    } catch (error) {
      throw new NotFoundError(`There are no bytes for artifact ${digest}.`, { cause: error });
    }
  }

  async read(digest: string): Promise<Buffer> {
    await this.size(digest);
    return readFile(this.path(digest));
  }

  /** `length` bytes from `offset`, fewer at the end of the file. */
  async readRange(digest: string, offset: number, length: number): Promise<Buffer> {
    await this.size(digest);
    const file = await open(this.path(digest), 'r');
    try {
      const buffer = Buffer.allocUnsafe(length);
      const { bytesRead } = await file.read(buffer, 0, length, offset);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  }

  /** A stream of the bytes from `start` to `end`, both inclusive. */
  stream(digest: string, start?: number, end?: number): ReadStream {
    return createReadStream(this.path(digest), { start, end });
  }

  /** Where the bytes of an artifact lie, for a reader that needs a file. */
  path(digest: string): string {
    return join(this.#root, digest.slice(0, 2), digest.slice(2));
  }
}
