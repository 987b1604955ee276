/** A month of samples: a partition of `samples`, named after it. */
export interface Month {
  /** `samples_2026_11` */
  readonly partition: string;
  /** First instant, ISO 8601 in UTC. */
  readonly from: string;
  /** First instant after it. */
  readonly to: string;
}

const NAME = /^samples_(\d{4})_(\d{2})$/;
/** One behind, for devices that were offline at the turn of the month; two ahead, should no worker run for a while. */
const MONTHS_BEHIND = 1;
const MONTHS_AHEAD = 2;

/** The months that must have a partition at a time: the present one, the one before and two to come. */
export function monthsAround(nowMs: number): Month[] {
  const now = new Date(nowMs);
  const count = MONTHS_BEHIND + 1 + MONTHS_AHEAD;
  return Array.from({ length: count }, (_, i) => monthAt(now.getUTCFullYear(), now.getUTCMonth() - MONTHS_BEHIND + i));
}

/** Of the given partitions, those whose every sample is older than the retention. Names that are no month's are left alone. */
export function expiredPartitions(partitions: readonly string[], nowMs: number, retentionMs: number): string[] {
  return partitions.filter((partition) => {
    const match = NAME.exec(partition);
    return match !== null && Date.parse(monthAt(Number(match[1]), Number(match[2]) - 1).to) <= nowMs - retentionMs;
  });
}

function monthAt(year: number, month: number): Month {
  const from = new Date(Date.UTC(year, month, 1));
  const to = new Date(Date.UTC(year, month + 1, 1));
  const number = String(from.getUTCMonth() + 1).padStart(2, '0');
  return { partition: `samples_${from.getUTCFullYear()}_${number}`, from: from.toISOString(), to: to.toISOString() };
}
