import { describe, expect, it } from 'vitest';
import { isSampled, learnedVariant } from './tier-learning.ts';

const ALL = ['fp32', 'int8', 'int4'];
const group = (chosen: string, devices: number, variants: readonly string[] = ALL) => ({ chosen, devices, variants });

describe('what a tier has learned', () => {
  it('is what two devices took that measured everything', () => {
    expect(learnedVariant(ALL, [])).toBeNull();
    expect(learnedVariant(ALL, [group('int8', 1)])).toBeNull();
    expect(learnedVariant(ALL, [group('int8', 2)])).toBe('int8');
  });

  it('is nothing while devices disagree without a majority', () => {
    expect(learnedVariant(ALL, [group('int8', 2), group('fp32', 2)])).toBeNull();
    expect(learnedVariant(ALL, [group('int8', 3), group('fp32', 2)])).toBe('int8');
  });

  it('does not count who measured only some, as those do that were offered one alone', () => {
    expect(learnedVariant(ALL, [group('int8', 50, ['int8']), group('fp32', 1)])).toBeNull();
    expect(learnedVariant(ALL, [group('int8', 50, ['int8', 'fp32']), group('fp32', 2)])).toBe('fp32');
  });

  it('counts who measured more, unless it took what is not to be had', () => {
    expect(learnedVariant(['fp32', 'int8'], [group('int8', 2)])).toBe('int8');
    expect(learnedVariant(['fp32', 'int8'], [group('int4', 9), group('fp32', 1)])).toBeNull();
  });
});

describe('the sample that measures again', () => {
  const devices = Array.from({ length: 4_000 }, (_, i) => `dev_${i}`);
  it('is of about the share that was asked for, and always the same', () => {
    const sampled = devices.filter((device) => isSampled(device, 'rel', 0.05));
    expect(sampled.length).toBeGreaterThan(140);
    expect(sampled.length).toBeLessThan(260);
    expect(devices.filter((device) => isSampled(device, 'rel', 0.05))).toEqual(sampled);
    // Of another release, other devices.
    const other = devices.filter((device) => isSampled(device, 'rel2', 0.05));
    expect(other.filter((device) => sampled.includes(device)).length).toBeLessThan(sampled.length / 2);
  });

  it('can be nobody and everybody', () => {
    expect(devices.some((device) => isSampled(device, 'rel', 0))).toBe(false);
    expect(devices.every((device) => isSampled(device, 'rel', 1))).toBe(true);
  });
});
