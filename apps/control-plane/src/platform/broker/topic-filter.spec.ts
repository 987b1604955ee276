import { describe, expect, it } from 'vitest';
import { filterMatches } from './topic-filter.ts';

describe('a filter', () => {
  it.each([
    ['a/b/c', 'a/b/c', true],
    ['a/b', 'a/b/c', false],
    ['a/b/c', 'a/b', false],
    ['a/+/c', 'a/b/c', true],
    ['a/+/c', 'a//c', true],
    ['a/+', 'a/b/c', false],
    ['a/+', 'a', false],
    ['a/#', 'a/b/c', true],
    ['a/#', 'a', true],
    ['a/#', 'ab', false],
    ['#', 'a/b', true],
    ['+/b', 'a/b', true],
    ['#', '$SYS/a', false],
    ['+/a', '$SYS/a', false],
    ['$SYS/#', '$SYS/a', true],
    ['a/#/c', 'a/b/c', false],
  ])('%s on %s: %s', (filter, topic, matches) => expect(filterMatches(filter, topic)).toBe(matches));
});
