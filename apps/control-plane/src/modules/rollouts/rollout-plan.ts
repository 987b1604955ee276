import type { ExecutionReport, ExecutionStatus, WaveSize } from '@drover/contracts';

/**
 * Deciding, without doing: how many devices a wave takes, when it has ended, and what a report
 * changes. Pure.
 */

/**
 * How many of `total` devices each wave takes. Shares are of all targeted devices and rounded up, so that a small share of
 * a small fleet is still a device; the last wave takes what is left; waves that would be empty are left out.
 */
export function planWaves(total: number, sizes: readonly WaveSize[]): number[] {
  const counts: number[] = [];
  let left = total;
  for (const [index, size] of sizes.entries()) {
    if (left === 0) break;
    // 33.4 % of 1,000 is 334, not 335: the product of two decimals is a hair too large now and then.
    const wanted = size.kind === 'count' ? size.count : Math.ceil((total * size.percent) / 100 - 1e-9);
    const count = index === sizes.length - 1 ? left : Math.min(left, wanted);
    counts.push(count);
    left -= count;
  }
  return counts;
}

export type Counts = Partial<Record<ExecutionStatus, number>>;

export type WaveVerdict =
  | { readonly kind: 'running'; readonly unfinished: number }
  | { readonly kind: 'succeeded' }
  | { readonly kind: 'failed'; readonly failed: number; readonly percent: number };

/**
 * Whether a wave goes on. It fails as soon as the share that ended without success, of all its devices, is over the
 * threshold: waiting for the rest would only hurt more devices. Removed and cancelled executions count for neither side.
 */
export function judgeWave(counts: Counts, total: number, failureThresholdPercent: number): WaveVerdict {
  const of = (status: ExecutionStatus): number => counts[status] ?? 0;
  const failed = of('FAILED') + of('TIMED_OUT') + of('REJECTED');
  const percent = total === 0 ? 0 : (failed / total) * 100;
  if (failed > 0 && percent > failureThresholdPercent) return { kind: 'failed', failed, percent };
  const unfinished = of('QUEUED') + of('IN_PROGRESS');
  return unfinished > 0 ? { kind: 'running', unfinished } : { kind: 'succeeded' };
}

export interface ExecutionState {
  readonly status: ExecutionStatus;
  readonly step: string | null;
  readonly sequence: number;
  readonly dispatched: boolean;
}

export type ReportEffect =
  /** A duplicate, late, or about something that is over: acknowledged, changes nothing. */
  | { readonly kind: 'ignored' }
  /** Cannot be true: set aside. */
  | { readonly kind: 'refused'; readonly message: string }
  | {
      readonly kind: 'applied';
      readonly terminal: boolean;
      readonly succeeded: boolean;
      readonly restartTimer: boolean;
    };

const REPORTABLE: ReadonlySet<ExecutionStatus> = new Set(['IN_PROGRESS', 'SUCCEEDED', 'FAILED', 'REJECTED']);

/** What a device's report does to its execution. Terminal is final; an older sequence number changes nothing. */
export function judgeReport(
  state: ExecutionState,
  report: Pick<ExecutionReport, 'status' | 'step' | 'sequence'>,
): ReportEffect {
  if (!REPORTABLE.has(report.status)) return { kind: 'refused', message: `a device cannot report ${report.status}` };
  if (!state.dispatched) return { kind: 'refused', message: 'this execution was not yet given to the device' };
  if (state.status !== 'QUEUED' && state.status !== 'IN_PROGRESS') return { kind: 'ignored' };
  if (report.sequence <= state.sequence) return { kind: 'ignored' };
  const terminal = report.status !== 'IN_PROGRESS';
  return {
    kind: 'applied',
    terminal,
    succeeded: report.status === 'SUCCEEDED',
    restartTimer: !terminal && report.step !== state.step,
  };
}
