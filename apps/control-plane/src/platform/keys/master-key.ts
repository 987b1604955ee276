import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidConfigError, OperationError, writeFileAtomic } from '@drover/runtime';

/** The master key does not open what another one sealed. */
export class MasterKeyMismatchError extends OperationError {}

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Seals secrets with AES-256-GCM: nonce, ciphertext, tag. The name is bound as associated data, so that no two can be swapped. */
export class MasterKey {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    if (key.length !== KEY_BYTES)
      throw new InvalidConfigError(`DROVER_MASTER_KEY must be ${KEY_BYTES} bytes in base64, not ${key.length}.`);
    this.#key = key;
  }

  /** From the configuration, or from `master.key` in the data folder, which is made (0600) where there is none. */
  static async load(dataDir: string, configured: string | undefined): Promise<MasterKey> {
    if (configured !== undefined) return new MasterKey(Buffer.from(configured, 'base64'));
    const path = join(dataDir, 'master.key');
    try {
      return new MasterKey(Buffer.from((await readFile(path, 'utf8')).trim(), 'base64'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    const key = randomBytes(KEY_BYTES);
    await writeFileAtomic(path, `${key.toString('base64')}\n`, 0o600);
    return new MasterKey(key);
  }

  seal(name: string, secret: Uint8Array): Uint8Array<ArrayBuffer> {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(name));
    return new Uint8Array(Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]));
  }

  /** @throws MasterKeyMismatchError */
  open(name: string, sealed: Uint8Array): Buffer {
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, NONCE_BYTES))
        .setAAD(Buffer.from(name))
        .setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
      return Buffer.concat([
        decipher.update(sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES)),
        decipher.final(),
      ]);
    } catch (error) {
      throw new MasterKeyMismatchError(
        'The keys in the database were sealed with another master key. Set DROVER_MASTER_KEY to the one this database was made with, or restore master.key in the data folder.',
        { cause: error },
      );
    }
  }
}
