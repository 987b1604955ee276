/**
 * The environment of PostgreSQL's programs: nothing of ours, because a PGDATA, PGOPTIONS or LD_PRELOAD meant for something else would change
 * what they do.
 */
export function serverEnvironment(): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}
