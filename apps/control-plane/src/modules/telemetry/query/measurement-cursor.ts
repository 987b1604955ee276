import { idSchema } from '@drover/contracts';
import { InvalidInputError } from '@drover/runtime';
import { z } from 'zod';
import { decodeCursor, encodeCursor } from '../../../platform/http/page.ts';
import type { SamplePosition } from './measurement.repository.ts';

const instant = z.string().regex(/^\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
const integer = z.number().int().min(0).max(2_147_483_647);
const seq = z.string().regex(/^\d{1,18}$/);
const sampleCursor = z.tuple([idSchema, instant, integer, seq, integer.max(32_767), integer]);
const binCursor = z.tuple([idSchema, instant, z.number()]);

/** Of a list of samples: behind the last one of a page. */
export function encodeSampleCursor(stream: string, position: SamplePosition): string {
  return encodeCursor([stream, position.at, position.boot, position.seq, position.idx, position.stream]);
}

/** @throws InvalidInputError for a cursor of another list */
export function decodeSampleCursor(stream: string, cursor: string | undefined): SamplePosition | null {
  const values = decodeCursor(cursor, 6);
  if (values === null) return null;
  const parsed = sampleCursor.safeParse(values);
  if (!parsed.success || parsed.data[0] !== stream) throw foreignCursor();
  const [, at, boot, number, idx, row] = parsed.data;
  return { at, boot, seq: number, idx, stream: row };
}

/** Of a list of steps: the start of the first one of the next page. */
export function encodeBinCursor(stream: string, at: string, stepSeconds: number): string {
  return encodeCursor([stream, at, stepSeconds]);
}

/** @throws InvalidInputError for a cursor of another list or another step */
export function decodeBinCursor(stream: string, stepSeconds: number, cursor: string | undefined): string | null {
  const values = decodeCursor(cursor, 3);
  if (values === null) return null;
  const parsed = binCursor.safeParse(values);
  if (!parsed.success || parsed.data[0] !== stream || parsed.data[2] !== stepSeconds) throw foreignCursor();
  return parsed.data[1];
}

function foreignCursor(): InvalidInputError {
  return new InvalidInputError('The cursor belongs to another list.', {
    problems: [{ path: 'cursor', message: 'must be the nextCursor of a previous page with the same stream and step' }],
  });
}
