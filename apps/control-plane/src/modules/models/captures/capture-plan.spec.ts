import { describe, expect, it } from 'vitest';
import type { CaptureDeviceState } from './capture-plan.ts';
import { QUIET_MS, QUIET_UNCOUNTED_MS, judgeCapture, reasonWithoutSamples, sentRowsOf } from './capture-plan.ts';
import { csvOf, timeColumnFor } from './capture-csv.ts';

const DEADLINE = 100_000;
const device = (state: Partial<CaptureDeviceState>): CaptureDeviceState => ({
  device: 'dev',
  status: 'SUCCEEDED',
  rows: 0,
  rowsAtMs: 0,
  sentRows: null,
  ...state,
});
const judge = (nowMs: number, ...devices: CaptureDeviceState[]) =>
  judgeCapture({ deadlineAtMs: DEADLINE, devices }, nowMs);

describe('a capture', () => {
  it('waits for every answer, until the deadline', () => {
    const pending = device({ status: 'PENDING' });
    expect(judge(1, device({ sentRows: 0 }), pending)).toBe('waiting');
    expect(judge(DEADLINE, device({ sentRows: 0 }), pending)).toBe('complete');
  });

  it('is complete as soon as every sample that was sent has arrived', () => {
    expect(judge(1, device({ sentRows: 10, rows: 9 }))).toBe('settling');
    expect(judge(1, device({ sentRows: 10, rows: 10 }), device({ status: 'FAILED' }))).toBe('complete');
  });

  it('waits for samples that are missing only while some still come', () => {
    expect(judge(QUIET_MS - 1, device({ sentRows: 10, rows: 9 }))).toBe('settling');
    expect(judge(QUIET_MS, device({ sentRows: 10, rows: 9 }))).toBe('complete');
    expect(judge(QUIET_UNCOUNTED_MS - 1, device({ rows: 9 }))).toBe('settling');
    expect(judge(QUIET_UNCOUNTED_MS, device({ rows: 9 }))).toBe('complete');
  });

  it('reads how many rows were sent from the answer', () => {
    expect(['120 rows', '1 row', ' 7 rows in 3 s'].map(sentRowsOf)).toEqual([120, 1, 7]);
    expect([null, '', 'rows', '12 apples', '99999999999 rows'].map(sentRowsOf)).toEqual([null, null, null, null, null]);
  });

  it('says who is to blame where nothing has arrived', () => {
    const reason = reasonWithoutSamples([
      { device: 'a', status: 'TIMED_OUT', message: null },
      { device: 'b', status: 'FAILED', message: 'no sensor' },
    ]);
    expect(reason).toBe('No sample has arrived: a did not answer in time, b answered FAILED (no sensor).');
  });
});

async function textOf(channels: string[], samples: [number, number[]][]): Promise<string> {
  async function* all() {
    for (const [atMs, values] of samples) yield { atMs, values: Float32Array.from(values) };
  }
  const parts: Uint8Array[] = [];
  for await (const part of csvOf(timeColumnFor(channels), channels, all())) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

describe('samples as CSV', () => {
  it('keep float32 to the bit, in few digits, and leave out what is missing', async () => {
    const text = await textOf(['a', 'b'], [[1_767_225_600_000, [0.1, Number.NaN]]]);
    expect(text).toBe('timestamp,a,b\n2026-01-01T00:00:00.000Z,0.1,\n');
    const values = Array.from({ length: 500 }, (_, i) => Math.fround(Math.sin(i) * 10 ** ((i % 20) - 10)));
    const rows = (
      await textOf(
        ['a'],
        values.map((value, i) => [i, [value]]),
      )
    )
      .trim()
      .split('\n')
      .slice(1);
    expect(rows.map((row) => Math.fround(Number(row.split(',')[1])))).toEqual(values);
  });

  it('quote names, find a name for the time, and keep microseconds', async () => {
    expect(await textOf(['timestamp', 'x,"y"'], [[1_000.25, [1, 2]]])).toBe(
      'timestamp_,timestamp,"x,""y"""\n1970-01-01T00:00:01.000250Z,1,2\n',
    );
  });
});
