import { BatchQueue } from '../database/batch-queue.ts';
import type { Database } from '../database/database.ts';

interface DeviceKey {
  readonly fleet: string;
  readonly device: string;
}
interface Standing {
  readonly good: boolean;
  readonly until: number;
}

const MAX_KNOWN = 100_000;

/**
 * Whether a device named in a topic is one of ours: where a broker of its own keeps the connections, the certificate was seen by that broker only.
 * Asked of the database for many at once, and remembered for a moment: a revocation counts after that at the latest.
 */
export class DeviceStanding {
  readonly #database: Database;
  readonly #rememberMs: number;
  readonly #known = new Map<string, Standing>();
  readonly #lookups: BatchQueue<DeviceKey>;

  constructor(database: Database, rememberMs = 10_000) {
    this.#database = database;
    this.#rememberMs = rememberMs;
    this.#lookups = new BatchQueue((devices) => this.#look(devices), 1_000);
  }

  /** What is known without asking, or undefined. */
  known(fleet: string, device: string): boolean | undefined {
    const standing = this.#known.get(`${fleet}/${device}`);
    return standing && standing.until > performance.now() ? standing.good : undefined;
  }

  /** @throws where the database does not answer */
  async find(fleet: string, device: string): Promise<boolean> {
    const known = this.known(fleet, device);
    if (known !== undefined) return known;
    await this.#lookups.add({ fleet, device });
    return this.#known.get(`${fleet}/${device}`)?.good ?? false;
  }

  forget(fleet: string, device: string): void {
    this.#known.delete(`${fleet}/${device}`);
  }

  async #look(devices: readonly DeviceKey[]): Promise<void> {
    const { rows } = await this.#database.pool.query<{ fleet: string; device: string; good: boolean }>(
      `SELECT a.fleet, a.device, EXISTS (
         SELECT FROM devices d JOIN certificates c ON c.fleet_id = d.fleet_id AND c.device_id = d.id
          WHERE d.fleet_id = a.fleet AND d.id = a.device AND d.state = 'active'
            AND c.revoked_at IS NULL AND c.expires_at > now()) AS good
         FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) AS a(fleet, device)`,
      [devices.map(({ fleet }) => fleet), devices.map(({ device }) => device)],
    );
    if (this.#known.size > MAX_KNOWN) this.#known.clear();
    const until = performance.now() + this.#rememberMs;
    for (const { fleet, device, good } of rows) this.#known.set(`${fleet}/${device}`, { good, until });
  }
}
