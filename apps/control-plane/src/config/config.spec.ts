import { InvalidConfigError } from '@drover/runtime';
import { describe, expect, it } from 'vitest';
import { Config } from './config.ts';

function problemsOf(env: Record<string, string>): string[] {
  try {
    return (new Config(env), []);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidConfigError);
    return (error as InvalidConfigError).problems.map((problem) => problem.path);
  }
}

describe('the configuration', () => {
  it('needs nothing to be set', () => {
    expect(problemsOf({})).toEqual([]);
    expect(problemsOf({ DATABASE_URL: '', DROVER_HTTP_PORT: '' })).toEqual([]);
  });

  it('names every variable that cannot work, of all sections at once', () => {
    const wrong = {
      DROVER_ROLES: 'king',
      DROVER_HTTP_PORT: '99999',
      DROVER_MAX_BODY: '0',
      DROVER_PUBLIC_HOSTS: 'a b',
      DROVER_CERTIFICATE_LIFETIME: '999999d',
      DROVER_PRESENCE_LEASE: '0',
      DATABASE_URL: 'postgresql://:::',
      REDIS_URL: 'redis://:::',
      DROVER_RECONCILE_EVERY: '60d',
    };
    const named = problemsOf(wrong).map((path) => path.split('.')[0]!);
    expect(named.toSorted()).toEqual(Object.keys(wrong).toSorted());
  });

  it('takes sizes and durations with their units', () => {
    const config = new Config({ DROVER_MAX_ARTIFACT: '1.5GiB', DROVER_PRESENCE_LEASE: '1.5m', DROVER_RETENTION: '0' });
    expect(config.http.DROVER_MAX_ARTIFACT).toBe(1.5 * 2 ** 30);
    expect(config.device.DROVER_PRESENCE_LEASE).toBe(90_000);
    expect(config.database.DROVER_RETENTION).toBe(0);
  });
});
