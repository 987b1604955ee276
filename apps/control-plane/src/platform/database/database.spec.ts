import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase } from './test-database.fixture.ts';
import type { TestDatabase } from './test-database.fixture.ts';

let server: TestDatabase;
beforeAll(async () => {
  server = await testDatabase();
});
afterAll(() => server.stop());

describe('a transaction that PostgreSQL ends in favour of another', () => {
  it.each(['raw', 'model'] as const)('is done again, with %s statements', async (kind) => {
    const { database } = server;
    let tries = 0;
    const met = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
    /** Both change the same two rows, in opposite order, each after the other has its first. */
    const cross = (mine: number): Promise<void> =>
      database.transaction(async (tx) => {
        tries += 1;
        const change = async (id: string): Promise<void> => {
          if (kind === 'raw') await tx.$executeRaw`UPDATE fleets SET name = name || '.' WHERE id = ${id}`;
          else await tx.fleet.update({ where: { id }, data: { name: `${id}${mine}` } });
        };
        const order = mine === 0 ? ['default', 'other'] : ['other', 'default'];
        await change(order[0]!);
        met[mine]!.resolve();
        await met[1 - mine]!.promise;
        await change(order[1]!);
      });
    await Promise.all([cross(0), cross(1)]);
    expect(tries).toBeGreaterThan(2);
  });

  it('is not done again for any other reason', async () => {
    let tries = 0;
    const wrong = server.database.transaction(async (tx) => {
      tries += 1;
      await tx.$executeRaw`SELECT 1 / 0`;
    });
    await expect(wrong).rejects.toThrow(/division by zero/);
    expect(tries).toBe(1);
  });
});
