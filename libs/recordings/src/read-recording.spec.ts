import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { array, asyncProperty, assert, constantFrom, double, option } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InvalidCellError, RecordingTooLargeError, RecordingUnreadableError } from './errors.ts';
import { loadRecording } from './load-recording.ts';
import type { LoadOptions } from './load-recording.ts';
import { readRecording } from './read-recording.ts';

let folder: string;
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-recordings-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(content: string | Uint8Array, name = `${(files += 1)}.csv`): Promise<string> {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  return path;
}

const SKAB = [
  'datetime;Accelerometer1RMS;Pressure;Volume Flow RateRMS;anomaly;changepoint',
  '2020-03-09 10:14:33;0.026588;0.054711;32.0;0.0;0.0',
  '2020-03-09 10:14:34;0.0261;;31.9;1.0;1.0',
  '2020-03-09 10:14:36;0.0262;0.38;-1e-2;1.0;0.0',
].join('\n');

describe('reading a recording', () => {
  it('reads the layout of SKAB and keeps the labels out of the values', async () => {
    const recording = await loadRecording(await file(SKAB));
    expect(recording.header).toMatchObject({
      delimiter: ';',
      timestamp: 'datetime',
      channels: ['Accelerometer1RMS', 'Pressure', 'Volume Flow RateRMS'],
      labelColumns: ['anomaly', 'changepoint'],
      ignoredColumns: [],
      labelledBy: 'column',
    });
    expect([...recording.timesMs]).toEqual([33, 34, 36].map((s) => Date.UTC(2020, 2, 9, 10, 14, s)));
    expect([...recording.labels!]).toEqual([0, 1, 1]);
    expect(recording.values).toHaveLength(9);
    expect(recording.values[4]).toBeNaN();
    expect(recording.values[8]).toBeCloseTo(-0.01);
  });

  it('reads the layout of NAB with the label windows beside the data', async () => {
    await file(
      JSON.stringify({ 'realAd/exchange.csv': [['2014-04-01 00:05:00.000000', '2014-04-01 00:10:00.000000']] }),
      'nab/labels/combined_windows.json',
    );
    const rows = [0, 5, 10, 15].map((m) => `2014-04-01 00:${String(m).padStart(2, '0')}:00,${m}.5`);
    const csv = ['timestamp,value', ...rows].join('\n');
    const known = await loadRecording(await file(csv, 'nab/data/realAd/exchange.csv'));
    expect(known.header).toMatchObject({ channels: ['value'], labelledBy: 'windows' });
    expect([...known.labels!]).toEqual([0, 1, 1, 0]);
    const other = await loadRecording(await file(csv, 'nab/data/realAd/other.csv'));
    expect(other.header.labelledBy).toBeNull();
    expect(other.labels).toBeUndefined();
  });

  it('names the window that a labels file gets wrong', async () => {
    await file('{"a.csv": [["2014-04-01", "soon"]]}', 'bad/labels/combined_windows.json');
    const path = await file('timestamp,value\n2014-04-01,1', 'bad/data/a.csv');
    await expect(readRecording(path)).rejects.toThrow(/"a.csv", window 1/);
  });

  it.each([',', ';', '\t', '|'])('finds the delimiter %j', async (delimiter) => {
    const path = await file(`"time, or so"|a|b\n2020-01-01|1|2\n`.replaceAll('|', delimiter));
    expect((await loadRecording(path)).channels).toEqual(['a', 'b']);
  });

  it('takes any delimiter that it is given, and gives each time as it is in the file', async () => {
    const path = await file('when^a\n2020-01-01T00:00Z^1\n 1577836860 ^2\n');
    const recording = await readRecording(path, { delimiter: '^' });
    const rows = [];
    for await (const { timeMs, timeText } of recording) rows.push({ timeMs, timeText });
    expect(rows).toEqual([
      { timeMs: Date.UTC(2020, 0, 1), timeText: '2020-01-01T00:00Z' },
      { timeMs: Date.UTC(2020, 0, 1, 0, 1), timeText: ' 1577836860 ' },
    ]);
  });

  it('keeps duplicate and backward times, and values that are missing or too large, as rows of their own', async () => {
    const path = await file('time,a\n2020-01-02,1\n2020-01-02,\n2020-01-01,1e999\n');
    const { timesMs, values } = await loadRecording(path);
    expect([...timesMs].map((timeMs) => timeMs - Date.UTC(2020, 0, 1))).toEqual([86_400_000, 86_400_000, 0]);
    expect([...values]).toEqual([1, Number.NaN, Number.POSITIVE_INFINITY]);
  });

  it('reads decimal commas, a byte-order mark, CRLF and quotes', async () => {
    const path = await file('\uFEFFtimestamp;"a ""x"""\r\n2020-01-01;"1,5"\r\n\r\n2020-01-02;2\r\n');
    const recording = await loadRecording(path);
    expect(recording.channels).toEqual(['a "x"']);
    expect([...recording.values]).toEqual([1.5, 2]);
  });

  it('leaves out text and row numbers, and says which', async () => {
    const path = await file(',time,site,flow,index\n0,2020-01-01,north,1,0\n1,2020-01-02,south,2,1\n');
    expect((await loadRecording(path)).header).toMatchObject({
      channels: ['flow'],
      ignoredColumns: ['', 'site', 'index'],
    });
  });

  it('finds dates under any name, and takes named columns as they are named', async () => {
    const path = await file('wann,a,b,fault\n2020-01-01,1,2,0\n2020-01-02,3,4,1\n');
    expect((await loadRecording(path)).header).toMatchObject({ timestamp: 'wann', channels: ['a', 'b', 'fault'] });
    const named = await loadRecording(path, { labels: ['fault'], channels: ['b', 'a'] });
    expect(named.header).toMatchObject({ channels: ['b', 'a'], labelColumns: ['fault'], labelledBy: 'column' });
    expect([...named.values]).toEqual([2, 1, 4, 3]);
    expect([...named.labels!]).toEqual([0, 1]);
  });

  it('never lets a label or the time be named as a channel', async () => {
    const path = await file(SKAB);
    for (const name of ['anomaly', 'changepoint', 'datetime']) {
      await expect(readRecording(path, { channels: [name] })).rejects.toThrow(/cannot be a channel/);
    }
  });

  it('makes times from a rate where there are none', async () => {
    const path = await file('a\n1\n2\n3\n');
    await expect(readRecording(path)).rejects.toThrow(/No column holds a time/);
    expect([...(await loadRecording(path, { rateHz: 4 })).timesMs]).toEqual([0, 250, 500]);
  });

  it('names row and column of a bad cell, also far behind the first rows', async () => {
    const rows = Array.from({ length: 500 }, (_, i) => `${i},1,2`);
    rows[499] = '499,1,broken';
    const path = await file(['time,a,b', ...rows].join('\n'));
    const failure = await loadRecording(path).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(InvalidCellError);
    expect(failure).toMatchObject({ code: 'invalid-cell', row: 500, column: 'b' });
    expect((failure as InvalidCellError).message).toBe('Row 500, column "b": "broken" is not a number');
  });

  it.each<[string, string | Uint8Array, LoadOptions, RegExp]>([
    ['an empty file', '', {}, /is empty/],
    ['a file of blank lines', '\n\n\n', {}, /is empty/],
    ['binary', new Uint8Array([31, 139, 8, 0, 0, 0]), {}, /not a text file/],
    ['no header', '2020-01-01,1\n2020-01-02,2', {}, /must name the columns/],
    ['two columns of one name', 'time,a,a\n2020-01-01,1,2', {}, /Two columns are called "a"/],
    ['nothing numeric', 'time,a\n2020-01-01,x', {}, /No numeric column/],
    ['a short row', 'time,a,b\n2020-01-01,1,2\n2020-01-02,1', {}, /Row 2 has 2 columns, the header has 3/],
    ['an open quote', 'time,a\n2020-01-01,1\n2020-01-02,"1\n', {}, /After row 1: a quote is opened and never closed/],
    ['text after a quote', 'time,a\n2020-01-01,"1"x\n', {}, /After row 0: Invalid Closing Quote/],
    ['a delimiter that is none', 'time,a\n2020-01-01,1', { delimiter: '"' }, /cannot separate columns/],
    ['a rate that is none', 'a\n1', { rateHz: 0 }, /must be a positive number/],
    [
      'text among numbers',
      'time,a\n2020-01-01,1\n2020-01-02,2\n2020-01-03,x',
      {},
      /Row 3, column "a": "x" is not a number/,
    ],
    ['a missing time', 'time,a\n2020-01-01,1\n,2', {}, /Row 2, column "time": "" is not a time/],
    ['a time beyond all calendars', 'time,a\n1,1\n1e300,2', {}, /Row 2, column "time": "1e300" is not a time/],
    ['a bad time', 'time,a\n2020-01-01,1\n2020-02-31,1', {}, /Row 2, column "time": "2020-02-31" is not a time/],
    ['a bad label', 'time,a,label\n2020-01-01,1,maybe', {}, /Row 1, column "label"/],
    [
      'an unknown time column',
      'time,a\n2020-01-01,1',
      { timestamp: 'when' },
      /There is no column "when" for the time; there are "time", "a"$/,
    ],
  ])('refuses %s', async (_, content, options, message) => {
    await expect(loadRecording(await file(content), options)).rejects.toThrow(message);
  });

  it('refuses lines, columns and files that are too large', async () => {
    const long = await file(`time,a\n2020-01-01,1\n2020-01-02,${'1'.repeat(5_000)}\n`);
    await expect(loadRecording(long, { maxLineBytes: 1_000 })).rejects.toThrow(RecordingTooLargeError);
    const wide = await file(`time${',a'.repeat(100)}\n`);
    await expect(loadRecording(wide, { maxColumns: 100 })).rejects.toThrow('101 columns');
    const many = await file('time,a\n1,1\n2,1\n3,1\n');
    await expect(loadRecording(many, { maxRows: 2 })).rejects.toThrow('more than 2 rows');
  });

  it('says which file cannot be read', async () => {
    const missing = join(folder, 'missing.csv');
    await expect(readRecording(missing)).rejects.toThrow(RecordingUnreadableError);
    await expect(readRecording(folder)).rejects.toThrow(RecordingUnreadableError);
  });

  it('can be left in the middle, and closed without having been read', async () => {
    const path = await file(`time,a\n${'1,1\n'.repeat(100_000)}`);
    for await (const row of await readRecording(path)) if (row.row === 100) break;
    const recording = await readRecording(path);
    await recording.close();
    const rest = [];
    for await (const row of recording) rest.push(row);
    expect(rest).toEqual([]);
  });

  it('gives back what was written, whatever the numbers and the delimiter', async () => {
    const cell = option(double({ noNaN: true, noDefaultInfinity: true }), { nil: Number.NaN });
    const table = array(array(cell, { minLength: 2, maxLength: 2 }), { minLength: 1, maxLength: 80 });
    await assert(
      asyncProperty(table, constantFrom(',', ';', '\t'), async (rows, delimiter) => {
        const lines = rows.map((row, i) => [i, ...row].join(delimiter));
        const path = await file([['ts', 'a', 'b'].join(delimiter), ...lines].join('\n'), 'property.csv');
        const seen: number[][] = [];
        for await (const row of await readRecording(path)) seen.push([...row.values]);
        // JavaScript writes −0 as "0".
        expect(seen).toEqual(rows.map((row) => row.map((value) => value + 0)));
      }),
      { numRuns: 30 },
    );
  });
});
