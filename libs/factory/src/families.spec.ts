import { FAMILY_NAMES } from '@drover/contracts';
import { expect, it } from 'vitest';
import { FAMILIES } from './families.ts';

it('has every family that a build can ask for, and no other, each under its own name', () => {
  expect(Object.keys(FAMILIES).toSorted()).toEqual([...FAMILY_NAMES].toSorted());
  for (const [name, family] of Object.entries(FAMILIES)) expect(family.name).toBe(name);
});
