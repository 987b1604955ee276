import { idSchema } from '@drover/contracts';
import type { AnomalyQuery, AnomalyResource } from '@drover/contracts';
import { InvalidInputError } from '@drover/runtime';
import { z } from 'zod';
import { decodeCursor, encodeCursor } from '../../platform/http/page.ts';
import type { SqlParameters } from '../devices/sql-parameters.ts';

/** Order of a list of anomalies, and where a page of it begins. Ties go by device and id, so the order is total. */
export interface AnomalyOrder {
  /** After `ORDER BY`. */
  readonly orderBy: string;
  /** A further condition that leaves out everything up to the cursor, or nothing. */
  readonly after: string;
  /** The cursor that points behind an anomaly. */
  cursorOf(anomaly: AnomalyResource): string;
}

type Key = 'startedAt' | 'peakScore';
const COLUMN: Record<Key, string> = { startedAt: 'a.started_at', peakScore: 'a.peak_score' };
const cursorSchema = z.tuple([z.string(), z.number(), idSchema, idSchema]);

/** @throws InvalidInputError for a cursor of another list or another sort */
export function anomalyOrder(query: Pick<AnomalyQuery, 'sort' | 'cursor'>, parameters: SqlParameters): AnomalyOrder {
  const { sort } = query;
  const key = sort.replace(/^-/, '') as Key;
  const column = COLUMN[key];
  const [direction, beyond] = sort.startsWith('-') ? ['DESC', '<'] : ['ASC', '>'];
  return {
    orderBy: `${column} ${direction}, a.device_id ${direction}, a.id ${direction}`,
    after: afterOf(query, (value, device, id) => {
      const number = parameters.add(value, 'float8');
      const place = key === 'startedAt' ? `to_timestamp(${number} / 1000)` : number;
      const ids = `${parameters.add(device, 'text')}, ${parameters.add(id, 'text')}`;
      return `AND (${column}, a.device_id, a.id) ${beyond} (${place}, ${ids})`;
    }),
    cursorOf: (anomaly) => encodeCursor([sort, anomaly[key], anomaly.device, anomaly.id]),
  };
}

function afterOf(
  { sort, cursor }: Pick<AnomalyQuery, 'sort' | 'cursor'>,
  condition: (value: number, device: string, id: string) => string,
): string {
  const values = decodeCursor(cursor, 4);
  if (values === null) return '';
  const parsed = cursorSchema.safeParse(values);
  if (
    parsed.success &&
    parsed.data[0] === sort &&
    (!sort.endsWith('startedAt') || Math.abs(parsed.data[1]) <= 8.64e15)
  ) {
    return condition(parsed.data[1], parsed.data[2], parsed.data[3]);
  }
  throw new InvalidInputError('The cursor belongs to another list or another sort.', {
    problems: [{ path: 'cursor', message: 'must be the nextCursor of a previous page with the same sort' }],
  });
}
