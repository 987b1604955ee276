import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { array, asyncProperty, assert, constantFrom, string } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRecords } from './csv-records.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-records-'));
});
afterAll(() => rm(folder, { recursive: true }));

const LIMITS = { maxLineBytes: 1_000, maxColumns: 100 };

async function recordsOf(text: string): Promise<string[][]> {
  const path = join(folder, 'records.csv');
  await writeFile(path, text);
  const records: string[][] = [];
  for await (const batch of readRecords(path, ',', LIMITS)) records.push(...batch);
  return records;
}

describe('splitting a file into records', () => {
  it('gives what csv-parse gives, with and without quotes, whatever ends the lines', async () => {
    const plain = string({ maxLength: 6, unit: constantFrom('a', '1', ' ', 'é', '-') });
    const quoted = string({ maxLength: 6, unit: constantFrom('a', ',', '\n', '1') }).map((text) => `"${text}"`);
    const cells = array(array(constantFrom('plain', 'plain', 'plain', 'quoted'), { minLength: 2, maxLength: 2 }), {
      minLength: 1,
      maxLength: 6,
    });
    await assert(
      asyncProperty(cells, plain, quoted, constantFrom('\n', '\r\n', '\r'), async (rows, bare, inQuotes, ending) => {
        const text = rows.map((row) => row.map((kind) => (kind === 'plain' ? bare : inQuotes)).join(',')).join(ending);
        const expected = parse(text, { skip_empty_lines: true, relax_column_count: true, record_delimiter: ending });
        expect(await recordsOf(text)).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('finds lines that lie across the pieces in which a file is read, and a quote after many of them', async () => {
    const lines = Array.from({ length: 40_000 }, (_, i) => `${i},${'x'.repeat(i % 17)}`);
    lines[39_000] = '39000,"a ""b"", c"';
    const records = await recordsOf(lines.join('\n'));
    expect(records).toHaveLength(40_000);
    expect(records.every(([first], i) => first === String(i))).toBe(true);
    expect(records[39_000]).toEqual(['39000', 'a "b", c']);
  });

  it('gives out what comes before a mistake', async () => {
    const path = join(folder, 'mistake.csv');
    await writeFile(path, 'a,b\n1,2\n3,4\n5\n6,7\n');
    const seen: string[][] = [];
    const reading = (async () => {
      for await (const batch of readRecords(path, ',', LIMITS)) seen.push(...batch);
    })();
    await expect(reading).rejects.toThrow('Row 3 has 1 columns, the header has 2');
    expect(seen).toEqual([
      ['a', 'b'],
      ['1', '2'],
      ['3', '4'],
    ]);
  });
});
