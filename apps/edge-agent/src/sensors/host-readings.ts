/** Parsers of Linux' /proc files: text in, numbers out. Formats: proc(5) and Documentation/admin-guide/iostats.rst. */

/** Time that all processors spent, in clock ticks. */
export interface CpuTimes {
  readonly busy: number;
  readonly total: number;
}

/** First line of `/proc/stat`. Time waiting for the disk counts as idle; guest time is already part of user time. */
export function parseCpuTimes(stat: string): CpuTimes | null {
  const fields = /^cpu\s+([\d ]+)$/m.exec(stat)?.[1]?.trim().split(/\s+/).map(Number);
  if (fields === undefined || fields.length < 4) return null;
  const total = fields.slice(0, 8).reduce((sum, ticks) => sum + ticks, 0);
  const idle = fields[3]! + (fields[4] ?? 0);
  return { busy: total - idle, total };
}

/** Share of memory that is not available to programs, percent. */
export function parseMemoryUsedPercent(meminfo: string): number {
  const total = Number(/^MemTotal:\s+(\d+)/m.exec(meminfo)?.[1]);
  const available = Number(/^MemAvailable:\s+(\d+)/m.exec(meminfo)?.[1]);
  return total > 0 ? (100 * (total - available)) / total : Number.NaN;
}

/** Load average over one minute. */
export function parseLoad(loadavg: string): number {
  return Number.parseFloat(loadavg);
}

/** Bytes that have gone one way and the other since the machine started. */
export interface Counters {
  readonly inBytes: number;
  readonly outBytes: number;
}

/** `/proc/diskstats` counts sectors of 512 bytes, whatever the disk's own sector size. */
const SECTOR_BYTES = 512;

/**
 * Bytes read (in) and written (out), summed over `devices`: whole disks, as `/sys/block` lists them; their partitions
 * would count everything twice.
 */
export function parseDiskCounters(diskstats: string, devices: ReadonlySet<string>): Counters {
  let inBytes = 0;
  let outBytes = 0;
  for (const line of diskstats.split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (fields.length < 10 || !devices.has(fields[2]!)) continue;
    inBytes += Number(fields[5]) * SECTOR_BYTES;
    outBytes += Number(fields[9]) * SECTOR_BYTES;
  }
  return { inBytes, outBytes };
}

/** Bytes received (in) and sent (out) over all interfaces but the loopback, from `/proc/net/dev`. */
export function parseNetworkCounters(dev: string): Counters {
  let inBytes = 0;
  let outBytes = 0;
  for (const line of dev.split('\n')) {
    const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
    if (match === null || match[1] === 'lo') continue;
    const fields = match[2]!.trim().split(/\s+/).map(Number);
    inBytes += fields[0] ?? 0;
    outBytes += fields[8] ?? 0;
  }
  return { inBytes, outBytes };
}

/** Bytes per second between two readings; a counter that went back (wrapped, or a device was removed) gives 0. */
export function ratePerSecond(before: number, after: number, elapsedMs: number): number {
  return elapsedMs > 0 ? (Math.max(0, after - before) * 1_000) / elapsedMs : 0;
}
