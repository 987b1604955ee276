import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { array, asyncProperty, assert, constantFrom, string } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundledRecordings } from './bundled.ts';
import type { DatasetReport } from './dataset-report.ts';
import { RecordingUnreadableError } from './errors.ts';
import { inspectRecordings } from './inspect-recording.ts';
import type { RecordingOptions } from './read-recording.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-inspect-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function inspect(contents: Record<string, string>, options: RecordingOptions = {}): Promise<DatasetReport> {
  const files = await Promise.all(
    Object.entries(contents).map(async ([name, content]) => {
      const path = join(folder, name);
      await writeFile(path, content);
      return { name, path };
    }),
  );
  return inspectRecordings(files, options);
}

/** Normal operation at 1 Hz, with cells replaced: `{ 3: { b: 'x' } }`. */
function csv(rows: number, cells: Record<number, Record<string, string>> = {}): string {
  const lines = Array.from({ length: rows }, (_, i) => {
    const given = cells[i + 1] ?? {};
    const time = new Date(Date.UTC(2026, 0, 1) + i * 1_000).toISOString();
    return [given.time ?? time, given.a ?? (i % 7) / 2, given.b ?? 100 + (i % 3)].join(',');
  });
  return ['time,a,b', ...lines].join('\n');
}

function everyRow(rows: number, cells: Record<string, string>): Record<number, Record<string, string>> {
  return Object.fromEntries(Array.from({ length: rows }, (_, i) => [i + 1, cells]));
}

function messages({ problems }: DatasetReport, severity: 'error' | 'warning'): string[] {
  return problems.filter((problem) => problem.severity === severity).map(({ message }) => message);
}

describe('the report on a dataset', () => {
  it('has nothing to say against a good recording, and says what is in it', async () => {
    const report = await inspect({ 'good.csv': csv(700) });
    expect(report.problems).toEqual([]);
    expect(report.rows).toBe(700);
    expect(report.files[0]).toMatchObject({
      name: 'good.csv',
      rows: 700,
      startAt: '2026-01-01T00:00:00.000Z',
      endAt: '2026-01-01T00:11:39.000Z',
      rateHz: 1,
      gaps: { count: 0, longestMs: 0 },
      duplicateTimes: 0,
      backwardTimes: 0,
      irregularShare: 0,
      labels: [],
      ignored: [],
      labelShare: null,
    });
    const [a, b] = report.files[0]!.channels;
    expect(a).toMatchObject({ name: 'a', missing: 0, constant: false, min: 0, max: 3 });
    expect(a!.mean).toBeCloseTo(1.5);
    expect(a!.deviation).toBeCloseTo(1);
    expect(b!.mean).toBeCloseTo(100.999, 2);
  });

  it('accepts a single channel, and the bundled recordings', async () => {
    const { normal, faults } = bundledRecordings();
    const files = [normal, ...faults].map((path, i) => ({ name: `pump-${i}`, path }));
    const report = await inspectRecordings(files);
    expect(messages(report, 'error')).toEqual([]);
    expect(report.files[1]!.labelShare).toBeGreaterThan(0.05);
    const single = await inspect({ 'one.csv': csv(400).replaceAll(/,[^,\n]+(?=\n|$)/g, '') });
    expect(single.files[0]!.channels.map(({ name }) => name)).toEqual(['a']);
    expect(single.problems).toEqual([]);
  });

  it.each<[string, string, RegExp]>([
    ['an empty file', '', /is empty/],
    ['no rows', 'time,a\n', /There are no rows, only a header/],
    ['one row', 'time,a\n2026-01-01,1\n', /only one row: record some normal operation/],
    ['no channel', 'time,what\n2026-01-01,x\n2026-01-02,y\n', /at least one column of numbers/],
    ['no time', 'a,b\n1,2\n3,4\n', /No column holds a time .*: name it, or give the rate/],
    [
      'text in numbers',
      csv(400, { 9: { b: 'ERR' }, 300: { b: 'off' } }),
      /"b" holds text .*2 rows, the first is row 9 \("ERR"\)\. Correct/,
    ],
    ['a missing time', csv(400, { 200: { time: '' } }), /"time" has no time, row 200 \(empty\)\. Fill/],
    ['a short row', csv(400, { 200: { a: '' } }).replace(',,', ','), /Row 200 has 2 columns.*Everything after/],
    [
      'times that stand still',
      `time,a\n${'2026-01-01,1\n2026-01-01,2\n'.repeat(200)}`,
      /never move forward: correct them, or take the column out/,
    ],
    ['a channel without a value', csv(400, everyRow(400, { b: '' })), /No value at all in b: leave it out/],
    ['labels that are none', `time,a,anomaly\n${'2026-01-01,1,maybe\n'.repeat(3)}`, /should hold labels, 3 rows/],
    ['a name that fits no manifest', csv(400).replace('a', 'a'.repeat(65)), /at most 64 characters/],
  ])('calls it an error and says what to do: %s', async (_, content, message) => {
    const report = await inspect({ 'bad.csv': content });
    expect(messages(report, 'error').join('\n')).toMatch(message);
    expect(messages(report, 'error').join('\n')).not.toContain(folder);
  });

  it.each<[string, string, RegExp]>([
    ['a constant channel', csv(400, everyRow(400, { b: '7' })), /Never changes, .*: b\./],
    [
      'missing values',
      csv(400, Object.fromEntries(Array.from({ length: 40 }, (_, i) => [i + 50, { a: 'NaN' }]))),
      /missing in a \(10 %\)/,
    ],
    ['duplicate times', csv(400, { 8: { time: '2026-01-01T00:00:06Z' } }), /1 row with the time of the row before/],
    ['times that go back', csv(400, { 8: { time: '2026-01-01T00:00:01Z' } }), /1 step backward in time/],
    [
      'irregular steps',
      csv(
        400,
        Object.fromEntries(Array.from({ length: 100 }, (_, i) => [i * 3 + 1, { time: String(1767225600.4 + i * 3) }])),
      ),
      /% of the steps in time differ/,
    ],
    ['a gap', csv(400).replaceAll('T00:06', 'T09:06'), /2 gaps? in time|1 gap in time/],
    ['few rows', csv(40), /Only 40 rows in all/],
    [
      'many labels',
      csv(400)
        .replace('time,a,b', 'time,a,label')
        .replaceAll(/,10[02](?=\n|$)/g, ',0'),
      /33 % of the rows are labelled anomalous/,
    ],
  ])('warns of %s, without calling it an error', async (_, content, message) => {
    const report = await inspect({ 'odd.csv': content });
    expect(messages(report, 'warning').join('\n')).toMatch(message);
    expect(messages(report, 'error')).toEqual([]);
  });

  it('holds files against each other: channels, their order, and rates', async () => {
    const slow = csv(400);
    const fast = [
      'time,a,b',
      ...Array.from({ length: 400 }, (_, i) => `${1767225600 + i / 10},${i % 5},${i % 3}`),
    ].join('\n');
    const rates = await inspect({ 'slow.csv': slow, 'fast.csv': fast });
    expect(messages(rates, 'error')).toEqual([
      'The files have different rates: "slow.csv" has 1 Hz and "fast.csv" 10 Hz. Bring them to one rate, or make one dataset for each.',
    ]);
    const channels = await inspect({ 'x.csv': slow, 'y.csv': slow.replace('b', 'c') });
    expect(channels.problems).toMatchObject([
      {
        severity: 'error',
        file: 'y.csv',
        message: expect.stringMatching(/b of "x.csv" missing here; c not in "x.csv"/),
      },
    ]);
    const order = { 'x.csv': slow, 'y.csv': slow.replace('a,b', 'b,a') };
    expect(messages(await inspect(order), 'error')).toEqual([
      expect.stringMatching(/in another order: name the channels/),
    ]);
    expect(messages(await inspect(order, { channels: ['a', 'b'] }), 'error')).toEqual([]);
  });

  it('reads with the options that it is given', async () => {
    const content = 'a^b^fault\n1^2^0\n3^4^1\n';
    const report = await inspect(
      { 'x.csv': content },
      { delimiter: '^', labels: ['fault'], rateHz: 50, channels: ['b'] },
    );
    expect(report.files[0]).toMatchObject({
      rateHz: 50,
      labelShare: 0.5,
      startAt: null,
      labels: ['fault'],
      ignored: ['a'],
      channels: [{ name: 'b', min: 2, max: 4 }],
    });
    const wrong = await inspect({ 'x.csv': content }, { delimiter: '"', rateHz: 50 });
    expect(messages(wrong, 'error')).toEqual([expect.stringMatching(/cannot separate columns/)]);
    expect(messages(await inspect({ 'x.csv': content }, { rateHz: -1 }), 'error')).toEqual([
      expect.stringMatching(/positive number of rows per second/),
    ]);
  });

  it('finds the median step to about 1 % whatever the steps are, and exactly where they are regular', async () => {
    const steps = Array.from({ length: 999 }, (_, i) => 50 + ((i * 37) % 100));
    let timeMs = 1.7e12;
    const times = [timeMs, ...steps.map((step) => (timeMs += step))];
    const report = await inspect({ 'x.csv': `ts,a\n${times.map((time, i) => `${time},${i % 9}`).join('\n')}` });
    const median = steps.toSorted((a, b) => a - b)[500]!;
    expect(Math.abs(1_000 / report.files[0]!.rateHz! - median)).toBeLessThan(0.02 * median);
  });

  it('stops when it is told to, and throws only for a file that is not there', async () => {
    const path = join(folder, 'long.csv');
    await writeFile(path, csv(20_000));
    const stop = AbortSignal.abort(new Error('enough'));
    await expect(inspectRecordings([{ name: 'long', path }], {}, stop)).rejects.toThrow('enough');
    await expect(inspectRecordings([{ name: 'gone', path: join(folder, 'gone.csv') }])).rejects.toThrow(
      RecordingUnreadableError,
    );
    expect((await inspectRecordings([])).problems).toMatchObject([{ severity: 'error', file: null }]);
  });

  it('survives any text', async () => {
    const cell = constantFrom('1', '', 'NaN', 'x', '2026-01-01', '1e999', '"', ';', '-', '0x1', '٣');
    const line = array(cell, { minLength: 1, maxLength: 4 });
    await assert(
      asyncProperty(array(line, { maxLength: 12 }), string({ maxLength: 40 }), async (lines, tail) => {
        const report = await inspect({ 'any.csv': `${lines.map((cells) => cells.join(',')).join('\n')}${tail}` });
        for (const { message } of report.problems) expect(message.length).toBeLessThanOrEqual(1_000);
        expect(report.files.length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 150 },
    );
  });
});
