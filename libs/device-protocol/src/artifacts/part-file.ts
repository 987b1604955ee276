import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat, statfs } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '@drover/runtime';
import { DigestMismatchError, NoSpaceError } from '../errors.ts';

/** Bytes that a power cut can cost at most. */
const SYNC_EVERY_BYTES = 4 * 2 ** 20;

/**
 * An artifact on its way: `<digest>.part`, filled from front to back, becomes `<digest>` once all of it is there and is
 * what its name says. INVARIANT: a file named by a digest is complete and correct.
 */
export class PartFile {
  readonly path: string;
  readonly #finalPath: string;
  readonly #folder: string;
  readonly #digest: string;
  #handle: FileHandle | null = null;
  #size = 0;
  #unsynced = 0;

  constructor(folder: string, digest: string) {
    this.#folder = folder;
    this.#digest = digest;
    this.path = join(folder, `${digest}.part`);
    this.#finalPath = join(folder, digest);
  }

  /** Bytes that are there, from the front. */
  get size(): number {
    return this.#size;
  }

  async open(): Promise<void> {
    this.#handle = await open(this.path, 'a', 0o600);
    this.#size = (await this.#handle.stat()).size;
  }

  /** @throws NoSpaceError where the disk would keep less than `reserveBytes` free */
  async requireSpace(sizeBytes: number, reserveBytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder);
    const needed = sizeBytes - this.#size + reserveBytes;
    if (bavail * bsize < needed) {
      throw new NoSpaceError(
        `The artifact needs ${sizeBytes - this.#size} bytes and ${reserveBytes} are kept free, but ${bavail * bsize} are free`,
      );
    }
  }

  /** @throws NoSpaceError, after which the part is gone: a full disk harms more than a download that begins anew */
  async append(bytes: Uint8Array): Promise<void> {
    try {
      let written = 0;
      while (written < bytes.length) {
        written += (await this.#opened().write(bytes, written)).bytesWritten;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      await this.discard();
      throw new NoSpaceError('The disk is full', { cause: error });
    }
    this.#size += bytes.length;
    this.#unsynced += bytes.length;
    if (this.#unsynced >= SYNC_EVERY_BYTES) await this.sync();
  }

  async sync(): Promise<void> {
    if (this.#unsynced > 0) await this.#opened().sync();
    this.#unsynced = 0;
  }

  async truncate(size = 0): Promise<void> {
    await this.#opened().truncate(size);
    this.#size = size;
  }

  async close(): Promise<void> {
    if (this.#handle === null) return;
    await this.sync();
    await this.#handle.close();
    this.#handle = null;
  }

  async discard(): Promise<void> {
    await this.#handle?.close();
    this.#handle = null;
    await rm(this.path, { force: true });
  }

  /** @throws DigestMismatchError, after which the part is gone */
  async complete(): Promise<string> {
    await this.close();
    const digest = await sha256Of(this.path);
    if (digest !== this.#digest) {
      await this.discard();
      throw new DigestMismatchError(`The bytes that came have the digest ${digest}, expected ${this.#digest}`);
    }
    await rename(this.path, this.#finalPath);
    await syncFolder(this.#folder);
    return this.#finalPath;
  }

  #opened(): FileHandle {
    return this.#handle!;
  }
}

/** Whether an artifact is already there. Its size is checked, not its digest: the name was given after that check. */
export async function isComplete(folder: string, digest: string, sizeBytes: number): Promise<boolean> {
  const found = await stat(join(folder, digest)).catch(() => null);
  return found !== null && found.isFile() && found.size === sizeBytes;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(path, { highWaterMark: 256 * 2 ** 10 })) hash.update(bytes as Buffer);
  return hash.digest('hex');
}
