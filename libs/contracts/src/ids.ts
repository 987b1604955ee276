import { z } from 'zod';

/** Ids and names that may stand in a topic: no separators, no wildcards, bounded. */
export const ID_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;

export const idSchema = z.string().regex(ID_PATTERN, 'must be 1 to 64 letters, digits, "_" or "-"');

/** A name that a person gives: one line, trimmed, bounded. */
export const nameSchema = z
  .string()
  .trim()
  .min(1)
  .max(120)
  // oxlint-disable-next-line no-control-regex
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'must not contain control characters');

/** SHA-256 in lower-case hexadecimal: the name of an artifact. */
export const digestSchema = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hexadecimal');

/** An instant as ISO 8601 in UTC. */
export const instantSchema = z.iso.datetime({ offset: true });

/** Milliseconds since the Unix epoch, as devices send them. Bounded so that it always fits a timestamp. */
export const epochMsSchema = z.number().min(0).max(8_640_000_000_000_000);

/** Tags and attributes: a small flat map of texts. */
export const tagsSchema = z
  .record(z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/), z.string().max(256))
  .refine((tags) => Object.keys(tags).length <= 64, 'at most 64 entries');
