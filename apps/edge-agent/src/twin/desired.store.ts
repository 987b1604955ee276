import { readFile, rename } from 'node:fs/promises';
import { desiredStateSchema, signedDocumentSchema } from '@drover/contracts';
import type { DesiredState, SignedDocument } from '@drover/contracts';
import { messageOf, writeFileAtomic } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import type { TwinOrder } from '@drover/trust';
import { z } from 'zod';

const storedSchema = z.object({
  format: z.literal('drover.twin/1'),
  accepted: z
    .object({
      order: z.object({ epoch: z.number().int(), version: z.number().int() }),
      desired: desiredStateSchema,
    })
    .nullable(),
  keys: signedDocumentSchema.nullable(),
});

/** The desired document that counts, and where it stands. */
export interface Accepted {
  readonly order: TwinOrder;
  readonly desired: DesiredState;
}

/** What the agent was told last, so that it knows without a network. Verified before it was stored, replaced as a whole. */
export class DesiredStore {
  readonly #path: string;
  readonly #logger: Logger;
  #accepted: Accepted | null = null;
  #keys: SignedDocument | null = null;

  constructor(path: string, logger: Logger) {
    this.#path = path;
    this.#logger = logger;
  }

  get accepted(): Accepted | null {
    return this.#accepted;
  }

  /** The newest key set, signed; null while it is still the one of the enrolment. */
  get keys(): SignedDocument | null {
    return this.#keys;
  }

  /** A file that cannot be read is set aside: the server sends its document again. */
  async open(): Promise<void> {
    try {
      const stored = storedSchema.parse(JSON.parse(await readFile(this.#path, 'utf8')));
      this.#accepted = stored.accepted;
      this.#keys = stored.keys;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      this.#logger.error({ path: this.#path }, `the stored desired state is unreadable: ${messageOf(error)}`);
      await rename(this.#path, `${this.#path}.unreadable`).catch(() => undefined);
    }
  }

  async save(changes: { accepted?: Accepted; keys?: SignedDocument }): Promise<void> {
    const accepted = changes.accepted ?? this.#accepted;
    const keys = changes.keys ?? this.#keys;
    await writeFileAtomic(this.#path, JSON.stringify({ format: 'drover.twin/1', accepted, keys }));
    this.#accepted = accepted;
    this.#keys = keys;
  }
}
