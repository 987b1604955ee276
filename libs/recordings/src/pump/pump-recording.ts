import { HEALTHY, PUMP_CHANNELS, Pump } from './pump.ts';
import type { FaultLevels } from './pump.ts';
import { RandomSource } from './random-source.ts';

/** A fault that comes, stays and goes; rows are seconds. */
export interface PlannedFault {
  readonly fault: keyof FaultLevels;
  readonly startRow: number;
  readonly growRows: number;
  readonly stayRows: number;
  readonly recoverRows: number;
  /** Its level while it stays, 0 to 1. */
  readonly level: number;
}

export interface PumpRecordingPlan {
  readonly name: string;
  readonly seed: number;
  /** ISO 8601 with zone. */
  readonly startsAt: string;
  readonly rows: number;
  readonly faults: readonly PlannedFault[];
}

const fault = (
  kind: keyof FaultLevels,
  startRow: number,
  level: number,
  [growRows, stayRows, recoverRows]: readonly [number, number, number],
): PlannedFault => ({ fault: kind, startRow, level, growRows, stayRows, recoverRows });

/** What is bundled: one healthy recording to train on, three with every kind of fault in another order and strength. */
export const PUMP_RECORDINGS: readonly PumpRecordingPlan[] = [
  { name: 'pump-normal', seed: 11, startsAt: '2026-01-05T08:00:00Z', rows: 2_000, faults: [] },
  {
    name: 'pump-1',
    seed: 23,
    startsAt: '2026-01-12T08:00:00Z',
    rows: 900,
    faults: [fault('throttled', 310, 0.8, [15, 70, 10]), fault('cavitation', 580, 0.9, [10, 80, 10])],
  },
  {
    name: 'pump-2',
    seed: 37,
    startsAt: '2026-01-13T08:00:00Z',
    rows: 900,
    faults: [
      fault('cavitation', 320, 0.7, [20, 50, 10]),
      fault('throttled', 490, 0.6, [5, 60, 5]),
      fault('bearing', 640, 0.9, [60, 60, 30]),
    ],
  },
  {
    name: 'pump-3',
    seed: 41,
    startsAt: '2026-01-14T08:00:00Z',
    rows: 920,
    faults: [fault('bearing', 305, 0.8, [80, 60, 30]), fault('throttled', 660, 1, [30, 60, 20])],
  },
];

/** The recording as CSV: `timestamp`, six channels, `anomaly` (1 from a fault's first moment until its effects are gone). */
export function pumpRecordingCsv(plan: PumpRecordingPlan): string {
  const pump = new Pump(new RandomSource(plan.seed));
  const startMs = Date.parse(plan.startsAt);
  const lines = [['timestamp', ...PUMP_CHANNELS, 'anomaly'].join(',')];
  for (let row = 0; row < plan.rows; row += 1) {
    const levels = levelsAt(plan.faults, row);
    const time = new Date(startMs + row * 1_000).toISOString().slice(0, 19).replace('T', ' ');
    const values = pump.step(levels).map((value) => value.toFixed(3));
    const anomalous = pump.stillHot || Object.values(levels).some((level) => level > 0);
    lines.push([time, ...values, anomalous ? '1' : '0'].join(','));
  }
  return `${lines.join('\n')}\n`;
}

function levelsAt(faults: readonly PlannedFault[], row: number): FaultLevels {
  const levels: Record<keyof FaultLevels, number> = { ...HEALTHY };
  for (const planned of faults) levels[planned.fault] = Math.max(levels[planned.fault], levelAt(planned, row));
  return levels;
}

/** Up in a straight line, flat, down in a straight line. */
function levelAt({ startRow, growRows, stayRows, recoverRows, level }: PlannedFault, row: number): number {
  const into = row - startRow;
  if (into < 0) return 0;
  if (into < growRows) return (level * (into + 1)) / (growRows + 1);
  const after = into - growRows - stayRows;
  if (after < 0) return level;
  return after < recoverRows ? level * (1 - (after + 1) / (recoverRows + 1)) : 0;
}
