import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DataOfNewerVersionError, MigrationChangedError, UnfinishedMigrationError } from './migration-errors.ts';
import { planMigrations } from './migration-plan.ts';
import type { Migration, RecordedMigration } from './migration-plan.ts';

const migration = (name: string): Migration => ({ name, sql: `-- ${name}`, checksum: `sum of ${name}` });
const recorded = (name: string, change: Partial<RecordedMigration> = {}): RecordedMigration => ({
  name,
  checksum: `sum of ${name}`,
  finished: true,
  rolledBack: false,
  logs: null,
  ...change,
});
const known = ['1_a', '2_b', '3_c'].map(migration);

describe('the plan of migrations', () => {
  it('is what is known and not applied, in order, whatever was applied', () => {
    fc.assert(
      fc.property(fc.subarray(known), (applied) => {
        const plan = planMigrations(known, applied.map(({ name }) => recorded(name)).toReversed());
        expect(plan).toEqual(known.filter((one) => !applied.includes(one)));
      }),
    );
  });

  it('applies again what was rolled back, however often', () => {
    const rows = [
      recorded('1_a', { finished: false, rolledBack: true, logs: 'boom' }),
      recorded('1_a', { finished: false, rolledBack: true }),
    ];
    expect(planMigrations(known, rows)).toEqual(known);
    expect(planMigrations(known, [...rows, recorded('1_a')])).toEqual(known.slice(1));
  });

  it.each([
    ['a migration of a newer version', recorded('4_d'), DataOfNewerVersionError, /4_d.*DROVER_DATA_DIR/],
    [
      'a migration that failed',
      recorded('2_b', { finished: false, logs: 'no space' }),
      UnfinishedMigrationError,
      /2_b.*no space/,
    ],
    ['a migration that was interrupted', recorded('2_b', { finished: false }), UnfinishedMigrationError, /interrupted/],
    ['a migration whose file has changed', recorded('2_b', { checksum: 'other' }), MigrationChangedError, /2_b/],
  ])('refuses %s', (_, row, type, message) => {
    const plan = (): unknown => planMigrations(known, [recorded('1_a'), row]);
    expect(plan).toThrow(type);
    expect(plan).toThrow(message);
  });
});
