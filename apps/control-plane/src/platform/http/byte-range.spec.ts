import { describe, expect, it } from 'vitest';
import { parseRange } from './byte-range.ts';

describe('a Range header', () => {
  it.each([
    [undefined, 10, null],
    ['bytes=0-', 10, { start: 0, end: 9 }],
    ['bytes=4-', 10, { start: 4, end: 9 }],
    ['bytes=4-6', 10, { start: 4, end: 6 }],
    ['bytes=4-600', 10, { start: 4, end: 9 }],
    ['bytes=-3', 10, { start: 7, end: 9 }],
    ['bytes=-30', 10, { start: 0, end: 9 }],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=6-4', 10, null],
    ['bytes=-', 10, null],
    ['bytes=0-1,3-4', 10, null],
    ['items=0-1', 10, null],
  ] as const)('%s of %i bytes means %j', (header, size, expected) => {
    expect(parseRange(header, size)).toEqual(expected);
  });
});
