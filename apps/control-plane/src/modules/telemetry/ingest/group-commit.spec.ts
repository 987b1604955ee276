import { describe, expect, it } from 'vitest';
import { GroupCommit, IngestOverloadedError } from './group-commit.ts';
import type { GroupCommitOptions } from './group-commit.ts';
import { ListBatch } from './list-batch.ts';

/** As pg throws it: an error with a SQLSTATE. */
function sqlError(code: string): Error {
  return Object.assign(new Error(`refused with ${code}`), { code });
}

function group(
  commit: (items: readonly number[]) => Promise<void>,
  more: Partial<GroupCommitOptions<ListBatch<number>>> = {},
) {
  const refused: number[] = [];
  const commits = new GroupCommit<ListBatch<number>>({
    writers: 1,
    maxSize: 100,
    maxBytes: 2 ** 20,
    maxPendingBytes: 2 ** 24,
    patienceMs: 200,
    open: () => new ListBatch(),
    commit: (batch) => commit(batch.items),
    split: (batch) => ListBatch.split(batch),
    refuse: (batch) => {
      refused.push(...batch.items);
      return Promise.resolve();
    },
    ...more,
  });
  const add = (item: number): Promise<void> => {
    commits.batch.add(item, 0);
    return commits.added();
  };
  return { commits, add, refused };
}

describe('group commit', () => {
  it('writes a lone message at once and what comes meanwhile as one batch', async () => {
    const written: number[][] = [];
    const { add } = group(async (items) => {
      written.push([...items]);
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
    const first = add(1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.all([first, ...[2, 3, 4].map(add)]);
    expect(written).toEqual([[1], [2, 3, 4]]);
  });

  it('keeps batches to their size and the order of what came', async () => {
    const written: number[] = [];
    const sizes: number[] = [];
    const { add } = group((items) => {
      sizes.push(items.length);
      written.push(...items);
      return Promise.resolve();
    });
    const numbers = Array.from({ length: 250 }, (_, i) => i);
    await Promise.all(numbers.map(add));
    expect(sizes).toEqual([100, 100, 50]);
    expect(written).toEqual(numbers);
  });

  it('isolates what the database refuses for what it says', async () => {
    const written: number[] = [];
    const { add, refused } = group((items) => {
      if (items.some((item) => item % 50 === 13)) return Promise.reject(sqlError('23514'));
      written.push(...items);
      return Promise.resolve();
    });
    await Promise.all(Array.from({ length: 100 }, (_, i) => add(i)));
    expect(refused).toEqual([13, 63]);
    expect(written.toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 100 }, (_, i) => i).filter((i) => i % 50 !== 13),
    );
  });

  it('waits for a database that is away, and gives up after its patience so that the device sends again', async () => {
    let failures = 2;
    const { add } = group(() => (failures-- > 0 ? Promise.reject(sqlError('57P01')) : Promise.resolve()));
    await add(1);
    const away = group(() =>
      Promise.reject(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })),
    );
    await expect(away.add(1)).rejects.toThrow('ECONNREFUSED');
  });

  it('takes no more than it may hold', async () => {
    const gate = Promise.withResolvers<void>();
    const { add } = group(() => gate.promise, { maxPendingBytes: 10_000 });
    const added: Promise<void>[] = [];
    expect(() => {
      for (let i = 0; i < 1_000; i++) added.push(add(i));
    }).toThrow(IngestOverloadedError);
    expect(added.length).toBeGreaterThan(10);
    gate.resolve();
    await Promise.all(added);
    await add(1);
  });

  it('commits what it holds when it stops, and takes nothing more', async () => {
    const written: number[] = [];
    const { commits, add } = group(async (items) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      written.push(...items);
    });
    const added = Array.from({ length: 150 }, (_, i) => add(i));
    await commits.stop();
    expect(written.length).toBe(150);
    await Promise.all(added);
    expect(() => add(1)).toThrow(IngestOverloadedError);
  });
});
