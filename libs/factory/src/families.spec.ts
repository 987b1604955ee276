import { FAMILY_NAMES } from '@drover/contracts';
import { expect, it } from 'vitest';
import { FAMILIES, trainFamily } from './families.ts';

it('has every family that a build can ask for, and no other, each under its own name', () => {
  expect(Object.keys(FAMILIES).toSorted()).toEqual([...FAMILY_NAMES].toSorted());
  for (const [name, family] of Object.entries(FAMILIES)) expect(family.name).toBe(name);
});

it('refuses an option that the family does not have, and one of another kind, before anything is trained', async () => {
  const data = { recordings: [], stride: 1, rateHz: 1, maxGapMs: 10_000 };
  const train = (name: string, options: Record<string, unknown>) => trainFamily({ name, options }, data, { seed: 1 });
  await expect(train('pca', { colour: 'red' })).rejects.toThrow(
    /"pca" has no option "colour"; it has .*explainedVariance/,
  );
  await expect(train('dense-ae', { hidden: 8 })).rejects.toThrow('hidden must be a list, not 8.');
  await expect(train('mine', {})).rejects.toThrow(/There is no model family "mine"; there are auto, pca/);
});
