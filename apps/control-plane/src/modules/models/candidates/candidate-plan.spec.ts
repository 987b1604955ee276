import { describe, expect, it } from 'vitest';
import { candidatesFor } from './candidate-plan.ts';
import type { OfferedVariant } from './candidate-plan.ts';

const GIB = 2 ** 30;
const variant = (name: string, precision: string, more: Partial<OfferedVariant> = {}): OfferedVariant => ({
  name,
  precision,
  size: 'full',
  ...more,
});

describe('candidates', () => {
  const variants = [
    variant('fp32', 'fp32'),
    variant('int8', 'int8', { vusPrLoss: 0.01 }),
    variant('big', 'fp16', { minMemoryBytes: GIB }),
  ];

  it('come in the order of the tier', () => {
    expect(candidatesFor({ tier: 'pi-4', memoryBytes: 4 * GIB }, variants)).toEqual(['int8', 'fp32']);
    expect(candidatesFor({ tier: 'jetson-orin', memoryBytes: 16 * GIB }, variants)).toEqual(['big', 'fp32', 'int8']);
  });

  it('leave out what does not fit into memory, and may be none', () => {
    expect(candidatesFor({ tier: 'jetson-orin', memoryBytes: 2 ** 20 }, variants)).toEqual(['fp32', 'int8']);
    expect(candidatesFor({ tier: 'mcu', memoryBytes: 2 ** 20 }, [variants[0]!])).toEqual([]);
  });

  it('are full networks before smaller ones, and the other way round where memory is small', () => {
    const sizes = [
      variant('student', 'fp32', { size: 'student' }),
      variant('pruned-50', 'fp32', { size: 'pruned-50' }),
      variant('sparse-50', 'fp32', { size: 'sparse-50' }),
      ...variants,
    ];
    expect(candidatesFor({ tier: 'pi-4', memoryBytes: 4 * GIB }, sizes)).toEqual([
      'int8',
      'fp32',
      'sparse-50',
      'pruned-50',
      'student',
    ]);
    expect(candidatesFor({ tier: 'pi-4', memoryBytes: GIB / 2 }, sizes)[0]).toBe('student');
  });

  it('keep the accuracy budget', () => {
    const device = { tier: 'pi-4', memoryBytes: 4 * GIB } as const;
    expect(candidatesFor(device, variants, { accuracyBudget: 0.005 })).toEqual(['fp32']);
    expect(candidatesFor(device, variants, { accuracyBudget: 0.01 })).toEqual(['int8', 'fp32']);
  });

  it('are the pinned variant alone, whatever the tier prefers, but not where it does not fit', () => {
    const small = { tier: 'pi-4', memoryBytes: GIB / 2 } as const;
    expect(candidatesFor({ ...small, memoryBytes: 4 * GIB }, variants, { variant: 'big' })).toEqual(['big']);
    expect(candidatesFor(small, variants, { variant: 'big' })).toEqual([]);
    expect(candidatesFor(small, variants, { variant: 'nothing' })).toEqual([]);
  });
});
