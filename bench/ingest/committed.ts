import { Client } from 'pg';
import type { GeneratorReport } from './generator-messages.ts';

/** Server parameters without which a commit would be worth less. */
const SETTINGS = ['fsync', 'synchronous_commit', 'full_page_writes', 'server_version'] as const;

export interface Committed {
  /** Distinct (device, boot, seq). */
  readonly messages: number;
  readonly rows: number;
  /** Acknowledged numbers that are not there, and stored ones that were never acknowledged. */
  readonly missing: number;
  readonly unexpected: number;
}

/** What the database has of the acknowledged messages; looked up by every single number. */
export async function readCommitted(connectionString: string, reports: readonly GeneratorReport[]): Promise<Committed> {
  return withClient(connectionString, async (client) => {
    const devices = reports.flatMap((report) => report.devices);
    const { rows } = await client.query<Record<keyof Committed, string>>(
      `WITH acknowledged AS (
         SELECT a.device, a.boot, seq FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) AS a(device, boot, first, count)
          CROSS JOIN LATERAL generate_series(a.first, a.first + a.count - 1) AS seq
       ), stored AS (
         SELECT b.device_id AS device, b.boot_id AS boot, s.seq, count(*) AS rows
           FROM samples s JOIN boots b ON b.id = s.boot_id WHERE b.boot_id = ANY($2) GROUP BY 1, 2, 3
       )
       SELECT count(s.seq) AS messages, coalesce(sum(s.rows), 0) AS rows,
              count(*) FILTER (WHERE s.seq IS NULL) AS missing, count(*) FILTER (WHERE a.seq IS NULL) AS unexpected
         FROM acknowledged a FULL JOIN stored s USING (device, boot, seq)`,
      [
        devices.map((device) => device.clientId),
        devices.map((device) => device.bootId),
        devices.map((device) => device.firstSeq),
        devices.map((device) => device.acknowledged),
      ],
    );
    const { messages, rows: count, missing, unexpected } = rows[0]!;
    return {
      messages: Number(messages),
      rows: Number(count),
      missing: Number(missing),
      unexpected: Number(unexpected),
    };
  });
}

/** As the server says them. */
export async function readSettings(connectionString: string): Promise<Record<string, string>> {
  return withClient(connectionString, async (client) => {
    const { rows } = await client.query<{ name: string; setting: string }>(
      'SELECT name, setting FROM pg_settings WHERE name = ANY($1) ORDER BY name',
      [[...SETTINGS]],
    );
    return Object.fromEntries(rows.map((row) => [row.name, row.setting]));
  });
}

async function withClient<T>(connectionString: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
