import { describe, expect, it } from 'vitest';
import { chooseVariant, mostTelling, whyDropped } from './choose-variant.ts';
import type { DroppedCandidate } from './update-records.ts';

function choose(times: Record<string, number>, dropped = 0): Record<string, string> {
  const measured = Object.entries(times).map(([variant, p50Us]) => ({ variant, p50Us }));
  const { chosen, verdicts } = chooseVariant(measured, dropped);
  expect(verdicts.filter((verdict) => verdict.chosen).map(({ variant }) => variant)).toEqual([chosen.variant]);
  return Object.fromEntries(
    verdicts.map(({ variant, reason }) => [variant === chosen.variant ? `*${variant}` : variant, reason]),
  );
}

describe('the choice among measured variants', () => {
  it('takes the one that is clearly faster, and says by how much', () => {
    expect(choose({ fp32: 140, int8: 100, int4: 300 })).toEqual({
      fp32: 'slower than int8',
      '*int8': 'fastest: 1.4 times as fast as fp32',
      int4: 'slower than int8',
    });
  });

  it('keeps the preferred one where the difference may be noise', () => {
    expect(choose({ fp32: 105, int8: 100 })).toEqual({
      '*fp32': 'preferred: int8 is about as fast',
      int8: 'not clearly faster than fp32, which is preferred',
    });
    expect(choose({ fp32: 100, int8: 105 })).toEqual({
      '*fp32': 'fastest: int8 is about as fast',
      int8: 'slower than fp32',
    });
  });

  it('says when there was nothing to choose from', () => {
    expect(choose({ fp32: 100 })).toEqual({ '*fp32': 'only candidate' });
    expect(choose({ fp32: 100 }, 2)).toEqual({ '*fp32': 'only candidate that works here' });
  });
});

describe('candidates that do not work', () => {
  const memory: DroppedCandidate = { variant: 'fp32', reason: 'no-candidate', message: 'needs more memory' };
  const golden: DroppedCandidate = { variant: 'int8', reason: 'golden-mismatch', message: 'Golden window 0: …' };

  it('fail together with the reason that tells most', () => {
    expect(mostTelling([memory, golden])).toEqual({
      reason: 'golden-mismatch',
      message: 'int8: Golden window 0: …; fp32: needs more memory',
    });
    expect(mostTelling([memory])).toEqual({ reason: 'no-candidate', message: 'needs more memory' });
    expect(mostTelling([{ variant: 'x', reason: 'internal', message: 'odd' }, memory]).reason).toBe('no-candidate');
  });

  it('are explained in a few words', () => {
    expect(whyDropped(golden)).toBe('golden vectors differ');
    expect(whyDropped({ ...memory, message: 'm'.repeat(500) })).toHaveLength(200);
  });
});
