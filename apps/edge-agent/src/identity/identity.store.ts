import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { enrolResponseSchema } from '@drover/contracts';
import type { DeviceIdentity } from '@drover/device-protocol';
import { CallerError, OperationError, messageOf, writeFileAtomic } from '@drover/runtime';
import { z } from 'zod';

const identitySchema = enrolResponseSchema.extend({ privateKeyPem: z.string().max(16_384) });
const farewellSchema = z.object({ device: z.string(), at: z.string() });
export type Farewell = z.infer<typeof farewellSchema>;

/** The identity's file is there and cannot be used. It is never replaced by itself: enrolling again would be another device. */
export class IdentityUnreadableError extends OperationError {}
/** The server has told this device to erase itself. */
export class DecommissionedError extends CallerError {}

/** Where a device keeps its enrolment: a file that only its owner reads, replaced as a whole. */
export class IdentityStore {
  readonly #path: string;
  readonly #farewellPath: string;

  constructor(dataDir: string) {
    this.#path = join(dataDir, 'identity.json');
    this.#farewellPath = join(dataDir, 'decommissioned.json');
  }

  /** @returns null where the device has not been enrolled yet */
  async load(): Promise<DeviceIdentity | null> {
    const text = await readIfThere(this.#path);
    if (text === null) return null;
    const parsed = identitySchema.safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
    throw new IdentityUnreadableError(
      `${this.#path} is no identity. Restore it from a backup, or enrol the device anew with "drover-agent enrol --re-enrol --token …"`,
    );
  }

  async save(identity: DeviceIdentity): Promise<void> {
    await writeFileAtomic(this.#path, JSON.stringify(identity));
    await rm(this.#farewellPath, { force: true });
  }

  /** When this installation was decommissioned, null where it was not. */
  async farewell(): Promise<Farewell | null> {
    const text = await readIfThere(this.#farewellPath);
    return text === null
      ? null
      : (farewellSchema.safeParse(parseJson(text)).data ?? { device: 'unknown', at: 'unknown' });
  }

  /** Removes the key and says so to the next start: first the notice, so that no cut leaves neither. */
  async erase(farewell: Farewell): Promise<void> {
    await writeFileAtomic(this.#farewellPath, JSON.stringify(farewell));
    await rm(this.#path, { force: true });
  }
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new IdentityUnreadableError(`${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
