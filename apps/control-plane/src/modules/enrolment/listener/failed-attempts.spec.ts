import { describe, expect, it } from 'vitest';
import { FailedAttempts } from './failed-attempts.ts';

function at(start: number) {
  let now = start;
  const attempts = new FailedAttempts(
    { now: () => now, monotonic: () => now },
    { burst: 3, everyMs: 1_000, addresses: 4 },
  );
  return {
    attempts,
    pass: (ms: number) => (now += ms),
    fail: (address: string, times = 1) => {
      for (let i = 0; i < times; i++) attempts.failed(address);
    },
  };
}

describe('failed attempts', () => {
  it('cost nothing up to a number, then time, and are forgotten with it', () => {
    const { attempts, fail, pass } = at(5_000);
    fail('10.0.0.1', 2);
    expect(attempts.waitMs('10.0.0.1')).toBe(0);
    fail('10.0.0.1');
    expect(attempts.waitMs('10.0.0.1')).toBe(1_000);
    pass(600);
    expect(attempts.waitMs('10.0.0.1')).toBe(400);
    pass(400);
    expect(attempts.waitMs('10.0.0.1')).toBe(0);
    fail('10.0.0.1');
    expect(attempts.waitMs('10.0.0.1')).toBe(1_000);
    pass(10_000);
    fail('10.0.0.1', 2);
    expect(attempts.waitMs('10.0.0.1')).toBe(0);
  });

  it('never make an address wait longer than one step, however many there were', () => {
    const { attempts, fail } = at(0);
    fail('10.0.0.1', 1_000);
    expect(attempts.waitMs('10.0.0.1')).toBe(1_000);
  });

  it('are those of an address alone, or of a network of IPv6', () => {
    const { attempts, fail } = at(0);
    fail('10.0.0.1', 3);
    expect(attempts.waitMs('10.0.0.2')).toBe(0);
    expect(attempts.waitMs('::ffff:10.0.0.1')).toBeGreaterThan(0);
    fail('2001:db8:1:2::1', 3);
    expect(attempts.waitMs('2001:db8:1:2:ffff::9')).toBeGreaterThan(0);
    expect(attempts.waitMs('2001:db8:1:3::1')).toBe(0);
    fail('::1', 3);
    expect(attempts.waitMs('::1')).toBeGreaterThan(0);
  });

  it('are remembered of a bounded number of addresses, those that failed last', () => {
    const { attempts, fail } = at(0);
    for (let i = 0; i < 5; i++) fail(`10.0.0.${i}`, 3);
    expect(attempts.waitMs('10.0.0.0')).toBe(0);
    for (let i = 1; i < 5; i++) expect(attempts.waitMs(`10.0.0.${i}`)).toBeGreaterThan(0);
  });
});
