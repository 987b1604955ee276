import type { ControlPlaneProcess } from './control-plane-process.ts';

/** What the server holds of one process life of a device. */
export interface StoredBoot {
  readonly bootId: string;
  /** Of measurements: how many different messages, the first and the last number, and how many rows they are. */
  readonly messages: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly rows: number;
  readonly distinctRows: number;
}

/**
 * The measurements of a device as they lie in the database, by process life, in the order of time. Nothing is lost when `messages`
 * is `lastSeq` and `firstSeq` is 1; nothing is stored twice when `rows` is `distinctRows`.
 */
export async function storedMeasurements(server: ControlPlaneProcess, device: string): Promise<StoredBoot[]> {
  return server.query<StoredBoot & object>(
    `SELECT b.boot_id AS "bootId", count(DISTINCT s.seq)::int AS messages, min(s.seq)::int AS "firstSeq",
            max(s.seq)::int AS "lastSeq", count(*)::int AS rows, count(DISTINCT (s.seq, s.idx, s.stream_id))::int AS "distinctRows"
       FROM boots b JOIN samples s ON s.boot_id = b.id WHERE b.device_id = $1 GROUP BY b.id, b.boot_id ORDER BY b.id`,
    [device],
  );
}

/** What is wrong with it, for people; empty where nothing was lost and nothing is there twice. */
export function faultsOf(boots: readonly StoredBoot[]): string[] {
  return boots.flatMap(({ bootId, messages, firstSeq, lastSeq, rows, distinctRows }) => [
    ...(firstSeq === 1 ? [] : [`${bootId} begins with message ${firstSeq}`]),
    ...(messages === lastSeq - firstSeq + 1 ? [] : [`${bootId} has ${messages} messages of ${firstSeq} to ${lastSeq}`]),
    ...(rows === distinctRows ? [] : [`${bootId} has ${rows - distinctRows} rows twice`]),
  ]);
}
