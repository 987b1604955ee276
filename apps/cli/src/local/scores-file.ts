import { once } from 'node:events';
import { open, rename, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { OperationError, messageOf } from '@drover/runtime';

/** The result could not be written. */
export class OutputUnwritableError extends OperationError {}

const FLUSH_CHARACTERS = 256 * 1024;

/** Where a file is written until it is whole. */
export function partialPath(path: string): string {
  return `${path}.part`;
}

/**
 * A text file that is either whole or not there: written beside its place and moved there at the end. What is no regular
 * file (a pipe, `/dev/null`) is written directly.
 */
export class ScoresFile {
  readonly path: string;
  readonly #partial: string;
  /** Null for standard output. */
  readonly #file: FileHandle | null;
  #text = '';

  private constructor(path: string, partial: string, file: FileHandle | null) {
    this.path = path;
    this.#partial = partial;
    this.#file = file;
  }

  /** @param path `-` is standard output @throws OutputUnwritableError */
  static async create(path: string): Promise<ScoresFile> {
    if (path === '-') return new ScoresFile(path, path, null);
    try {
      const known = await stat(path).catch(() => undefined);
      const partial = known === undefined || known.isFile() ? partialPath(path) : path;
      return new ScoresFile(path, partial, await open(partial, 'w'));
    } catch (cause) {
      throw new OutputUnwritableError(`Cannot write ${path}: ${messageOf(cause)}`, { cause });
    }
  }

  async write(text: string): Promise<void> {
    this.#text += text;
    if (this.#text.length >= FLUSH_CHARACTERS) await this.#flush();
  }

  async finish(): Promise<void> {
    await this.#flush();
    await this.#file?.close();
    if (this.#partial !== this.path) await rename(this.#partial, this.path);
  }

  /** Nothing is left of it. */
  async abandon(): Promise<void> {
    await this.#file?.close().catch(() => undefined);
    if (this.#partial !== this.path) await rm(this.#partial, { force: true });
  }

  async #flush(): Promise<void> {
    const text = this.#text;
    this.#text = '';
    try {
      if (this.#file !== null) await this.#file.writeFile(text);
      else if (!process.stdout.write(text)) await once(process.stdout, 'drain');
    } catch (cause) {
      throw new OutputUnwritableError(`Cannot write ${this.path}: ${messageOf(cause)}`, { cause });
    }
  }
}
