import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OperationError, silentLogger } from '@drover/runtime';
import { UpdateJournal } from './update-journal.ts';
import { EMPTY_RECORD } from './update-records.ts';

class DiskFullError extends OperationError {}

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-journal-'));
  path = join(folder, 'journal.json');
});
afterEach(() => rm(folder, { recursive: true }));

const refused = (failures: number) => ({
  ...EMPTY_RECORD,
  refused: { key: 'k', reason: 'internal' as const, message: 'm', failures, retryAt: null },
});

describe('the journal', () => {
  it('is read back as it was written, also when several pipelines write at one moment', async () => {
    const journal = new UpdateJournal(path, silentLogger);
    await journal.open();
    await Promise.all([1, 2, 3].map((n) => journal.set(`p${n}`, refused(n))));
    const again = new UpdateJournal(path, silentLogger);
    await again.open();
    expect(again.names().toSorted()).toEqual(['p1', 'p2', 'p3']);
    expect(again.get('p2')).toEqual(refused(2));
    expect(again.get('unknown')).toEqual(EMPTY_RECORD);
  });

  it('keeps what it knows when a write fails, and takes the next', async () => {
    let full = false;
    const journal = new UpdateJournal(path, silentLogger, async (at, text) => {
      if (full) throw new DiskFullError('no space left on device');
      await writeFile(at, text);
    });
    await journal.set('pump', refused(1));
    full = true;
    await expect(journal.set('pump', refused(2))).rejects.toMatchObject({ code: 'journal-unwritable' });
    expect(journal.get('pump')).toEqual(refused(1));
    full = false;
    await journal.set('pump', refused(3));
    expect(JSON.parse(await readFile(path, 'utf8')).pipelines.pump.refused.failures).toBe(3);
  });

  it('that is unreadable is set aside and not deleted', async () => {
    await writeFile(path, '{"format":"drover.journal/1","pipelines":{"pump":{"serving":');
    const journal = new UpdateJournal(path, silentLogger);
    await journal.open();
    expect(journal.names()).toEqual([]);
    expect(await readdir(folder)).toEqual(['journal.json.unreadable']);
  });
});
