import { formatTable } from '../table.ts';
import type { DemoChoice } from './demo-choices.ts';

export interface DemoDevice {
  readonly device: string;
  readonly tier: string;
  readonly simulated: boolean;
  readonly variant: string | null;
  readonly provider: string | null;
  /** From a sample's arrival to its decision, on this machine. */
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  readonly anomaliesLabelled: number;
  readonly anomaliesFound: number;
  readonly falseAlarms: number;
  /** Samples of the scored pass, and how many of them are in the database; null where nothing is replayed. */
  readonly rowsExpected: number | null;
  readonly rowsReceived: number | null;
}

export interface DemoResult {
  readonly ok: boolean;
  readonly devices: readonly DemoDevice[];
  /** Of the neural release: what each board was offered, measured and took. */
  readonly choices: readonly DemoChoice[];
  readonly rollouts: readonly {
    readonly release: string;
    readonly status: string;
    readonly succeeded: number;
    readonly failed: number;
  }[];
  /** Sample by sample over one pass of all recordings, no point adjustment. */
  readonly detection: { readonly f1: number; readonly far: number; readonly mar: number };
  readonly lost: { readonly dropped: number; readonly rejected: number };
}

export function formatResult(result: DemoResult): string {
  const devices = formatTable(
    ['device', 'tier', 'variant', 'provider', 'p50 µs', 'p99 µs', 'labelled', 'found', 'false alarms', 'samples'],
    result.devices.map((row) => [
      row.device,
      `${row.tier}${row.simulated ? ' (simulated)' : ''}`,
      row.variant ?? '-',
      row.provider ?? '-',
      row.p50Us?.toFixed(0) ?? '-',
      row.p99Us?.toFixed(0) ?? '-',
      row.rowsExpected === null ? '-' : String(row.anomaliesLabelled),
      row.rowsExpected === null ? '-' : String(row.anomaliesFound),
      String(row.falseAlarms),
      row.rowsExpected === null ? '-' : `${row.rowsReceived} of ${row.rowsExpected}`,
    ]),
  );
  const choices = formatTable(
    ['device', 'tier', 'candidate', 'KiB', 'p50 µs', 'p99 µs', 'taken', 'why'],
    result.choices.flatMap(({ device, tier, candidates }) =>
      candidates.map((row) => [
        device,
        tier,
        row.variant,
        (row.sizeBytes / 1024).toFixed(0),
        String(row.p50Us),
        String(row.p99Us),
        row.chosen ? 'yes' : '',
        row.reason ?? '',
      ]),
    ),
  );
  const rollouts = formatTable(
    ['release', 'rollout', 'succeeded', 'failed'],
    result.rollouts.map((row) => [row.release, row.status, String(row.succeeded), String(row.failed)]),
  );
  const { f1, far, mar } = result.detection;
  const lost =
    result.lost.dropped + result.lost.rejected === 0
      ? 'Nothing was lost.'
      : `Lost: ${result.lost.dropped} dropped, ${result.lost.rejected} rejected.`;
  return [
    devices,
    '',
    choices,
    '',
    rollouts,
    '',
    `Detection, sample by sample: F1 ${f1}, false-alarm rate ${(far * 100).toFixed(1)} %, missed-alarm rate ${(mar * 100).toFixed(1)} %. ${lost}`,
    'Simulated boards have the real limits of their tier and the speed of this machine: above, from a sample’s arrival to its decision; below, bare runs.',
  ].join('\n');
}
