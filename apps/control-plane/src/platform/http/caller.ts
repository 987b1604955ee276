import type { Role } from '@drover/contracts';

/** Who is calling: an API key, and the fleet that it acts in. */
export interface Caller {
  /** `key:<id>`, for the audit. */
  readonly actor: string;
  readonly role: Role;
  /** The key is the instance administrator's. */
  readonly instance: boolean;
  /** The fleet acted in: the key's own, or the one that the instance administrator named. */
  readonly fleet: string;
}
