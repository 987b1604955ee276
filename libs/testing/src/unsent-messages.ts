import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { AgentProcess } from './agent-process.ts';
import type { ControlPlaneProcess } from './control-plane-process.ts';

export interface UnsentMessage {
  readonly bootId: string;
  readonly seq: number;
}

/**
 * The measurements that an agent which was killed has stored and not yet been told to be committed, from a copy of its store: the
 * store itself is the agent's.
 */
export async function unsentMeasurements(agent: AgentProcess): Promise<UnsentMessage[]> {
  const folder = await mkdtemp(join(tmpdir(), 'drover-outbox-'));
  try {
    for (const suffix of ['', '-wal']) {
      const from = join(agent.dataDir, `outbox.db${suffix}`);
      if (existsSync(from)) await copyFile(from, join(folder, `outbox.db${suffix}`));
    }
    const database = new DatabaseSync(join(folder, 'outbox.db'));
    // Ids are the base of the boot plus the message's number.
    const rows = database
      .prepare(
        `SELECT b.boot_id AS bootId, m.id - b.base AS seq FROM m
           JOIN boots b ON b.class = 'm' AND b.base = (SELECT max(base) FROM boots WHERE class = 'm' AND base < m.id)`,
      )
      .all();
    database.close();
    return rows.map((row) => ({ bootId: String(row['bootId']), seq: Number(row['seq']) }));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Those of the messages that the server does not have. */
export async function notStored(
  server: ControlPlaneProcess,
  device: string,
  messages: readonly UnsentMessage[],
): Promise<UnsentMessage[]> {
  return server.query<UnsentMessage>(
    `SELECT w.boot AS "bootId", w.seq::int AS seq FROM unnest($2::text[], $3::bigint[]) AS w(boot, seq)
      WHERE NOT EXISTS (SELECT FROM samples s JOIN boots b ON b.id = s.boot_id
                         WHERE b.device_id = $1 AND b.boot_id = w.boot AND s.seq = w.seq)`,
    [device, messages.map((message) => message.bootId), messages.map((message) => message.seq)],
  );
}
