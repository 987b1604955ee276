import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidInputError } from '@drover/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvFiles } from './csv-files.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-csv-files-'));
  await mkdir(join(folder, 'empty'));
  await Promise.all(['pump-10.csv', 'pump-2.csv'].map((name) => writeFile(join(folder, name), 'time,a\n1,2\n')));
});

afterAll(() => rm(folder, { recursive: true }));

describe('csvFiles', () => {
  it('takes files as they are given and those of folders in natural order', async () => {
    const [two, ten] = [join(folder, 'pump-2.csv'), join(folder, 'pump-10.csv')];
    expect(await csvFiles([ten, two])).toEqual([ten, two]);
    expect(await csvFiles([folder])).toEqual([two, ten]);
  });

  it('names every file that does not exist', async () => {
    const missing = [join(folder, 'nope.csv'), join(folder, 'none.csv')];
    const read = csvFiles([missing[0]!, join(folder, 'pump-2.csv'), missing[1]!]);
    await expect(read).rejects.toThrow(InvalidInputError);
    await expect(read).rejects.toThrow(`There is no file or folder ${missing.join(', ')}.`);
  });

  it('refuses folders without a recording', async () => {
    await expect(csvFiles([join(folder, 'empty')])).rejects.toThrow('There is no CSV file in the given folders.');
  });
});
