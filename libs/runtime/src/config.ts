import { z } from 'zod';
import { InvalidConfigError } from './errors.ts';
import type { FieldProblem } from './errors.ts';

/** Every issue of a zod error as field problems, unions unfolded to their most specific branch. */
export function problemsOf(error: z.ZodError, prefix = ''): FieldProblem[] {
  return error.issues.map((issue) => ({
    path: [prefix, issue.path.join('.')].filter((part) => part !== '').join('.'),
    message: issue.message,
  }));
}

/**
 * Reads one section of the configuration from environment variables through its schema.
 *
 * @param schema an object schema whose keys are environment variable names
 * @throws InvalidConfigError naming every variable that is wrong
 */
export function loadConfig<T extends z.ZodType>(schema: T, env: Record<string, string | undefined>): z.output<T> {
  // An empty variable means "not set": that is what `FOO= command` and an empty line in an env file are meant to say.
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = schema.safeParse(set);
  if (parsed.success) return parsed.data;
  const problems = problemsOf(parsed.error);
  throw new InvalidConfigError(`Configuration: ${problems.map((p) => `${p.path}: ${p.message}`).join('; ')}`, {
    problems,
  });
}

/** `"250"`, `"1.5s"`, `"10m"`, `"2h"`, `"7d"` → milliseconds. A bare number is milliseconds. */
export const durationMs = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h|d)?$/, 'must be a duration like 500ms, 30s, 10m, 2h or 7d')
  .transform((text) => {
    const unit = /[a-z]+$/.exec(text)?.[0] ?? 'ms';
    const factor = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit] ?? 1;
    return Math.round(Number.parseFloat(text) * factor);
  });

/** `"4096"`, `"64KiB"`, `"10MiB"`, `"2GiB"` → bytes. */
export const sizeBytes = z
  .string()
  .regex(/^\d+(\.\d+)?(B|KiB|MiB|GiB)?$/, 'must be a size like 4096, 64KiB, 10MiB or 2GiB')
  .transform((text) => {
    const unit = /[A-Za-z]+$/.exec(text)?.[0] ?? 'B';
    const factor = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }[unit] ?? 1;
    return Math.round(Number.parseFloat(text) * factor);
  });

/** A TCP port from the environment; 0 picks a free one. */
export const port = z.coerce.number().int().min(0).max(65_535);

/** `true/false/1/0/yes/no/on/off`. */
export const flag = z
  .enum(['true', 'false', '1', '0', 'yes', 'no', 'on', 'off'])
  .transform((text) => ['true', '1', 'yes', 'on'].includes(text));
