/** The server's own log, beside the database. The server appends to it through a descriptor, so it outlives this process. */
import { constants } from 'node:fs';
import { copyFile, open, rename, stat, truncate } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

const ROTATE_AT_START_BYTES = 2 ** 20;
const LIMIT_BYTES = 16 * 2 ** 20;
const TAIL_BYTES = 16 * 1024;

export class ServerLog {
  readonly path: string;
  #startedAtByte = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** Opens it for a new server, the previous one's moved aside when it has grown. The caller closes it. */
  async open(): Promise<FileHandle> {
    if ((await this.#sizeBytes()) > ROTATE_AT_START_BYTES) await rename(this.path, `${this.path}.1`);
    this.#startedAtByte = await this.#sizeBytes();
    return open(this.path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o600);
  }

  /** Keeps it bounded while a server writes to it: it appends, so emptying the file under it is safe. */
  async trim(): Promise<void> {
    if ((await this.#sizeBytes()) <= LIMIT_BYTES) return;
    await copyFile(this.path, `${this.path}.1`);
    await truncate(this.path, 0);
    this.#startedAtByte = 0;
  }

  /** The last lines that the newest server wrote, without their time stamps. */
  async lastLines(count = 10): Promise<string[]> {
    const size = await this.#sizeBytes();
    const from = Math.max(this.#startedAtByte, size - TAIL_BYTES);
    if (size <= from) return [];
    const file = await open(this.path, 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
      const lines = buffer.toString('utf8', 0, bytesRead).split('\n');
      return lines
        .map((line) => line.replace(/^\S+ \S+ \S+ \[\d+\] /, ''))
        .filter((line) => line.trim() !== '')
        .slice(-count);
    } finally {
      await file.close();
    }
  }

  async #sizeBytes(): Promise<number> {
    return stat(this.path).then(
      ({ size }) => size,
      () => 0,
    );
  }
}
