import type { Capture } from '@drover/contracts';

/** When a capture has ended, and what of it. Pure. */

export type CaptureDeviceStatus = Capture['devices'][number]['status'];

export interface CaptureDeviceState {
  readonly device: string;
  readonly status: CaptureDeviceStatus;
  /** Samples that have arrived, and since when there are so many: milliseconds since the Unix epoch. */
  readonly rows: number;
  readonly rowsAtMs: number;
  /** Samples that the device says it has sent; null where it did not say. */
  readonly sentRows: number | null;
}

export interface CaptureState {
  readonly deadlineAtMs: number;
  readonly devices: readonly CaptureDeviceState[];
}

/**
 * Samples and the answer to the command travel in different classes: the answer may overtake the last samples. After it, samples are
 * waited for until there are as many as the device has sent, or none has come for so long.
 */
export const QUIET_MS = 15_000;
/** For a device that does not say how many it has sent. */
export const QUIET_UNCOUNTED_MS = 3_000;

/**
 * `waiting`: for a device's answer. `settling`: all have answered, samples may still be on their way. `complete`: what is there is
 * all that will be taken.
 */
export function judgeCapture(
  { deadlineAtMs, devices }: CaptureState,
  nowMs: number,
): 'waiting' | 'settling' | 'complete' {
  if (nowMs >= deadlineAtMs) return 'complete';
  if (devices.some(({ status }) => status === 'PENDING')) return 'waiting';
  return devices.every((device) => hasSettled(device, nowMs)) ? 'complete' : 'settling';
}

function hasSettled({ status, rows, rowsAtMs, sentRows }: CaptureDeviceState, nowMs: number): boolean {
  if (status !== 'SUCCEEDED') return true;
  if (sentRows === null) return nowMs - rowsAtMs >= QUIET_UNCOUNTED_MS;
  return rows >= sentRows || nowMs - rowsAtMs >= QUIET_MS;
}

/** The number of samples that a device names in its answer: `1200 rows`. */
export function sentRowsOf(message: string | null): number | null {
  const match = /^\s*(\d{1,9}) rows?\b/.exec(message ?? '');
  return match ? Number(match[1]) : null;
}

/** Why nothing came of it, for a person. */
export function reasonWithoutSamples(
  devices: readonly {
    readonly device: string;
    readonly status: CaptureDeviceStatus;
    readonly message: string | null;
  }[],
): string {
  const told = devices.slice(0, 5).map(({ device, status, message }) => {
    if (status === 'TIMED_OUT') return `${device} did not answer in time`;
    return `${device} answered ${status}${message ? ` (${message})` : ''}`;
  });
  const more = devices.length > told.length ? `, and ${devices.length - told.length} more` : '';
  return `No sample has arrived: ${told.join(', ')}${more}.`;
}
