import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeOwner, parsePostmasterFile } from './postmaster-file.ts';

const data = '/var/drover/postgres/data';
const running = [
  '4711',
  data,
  '1790000000',
  '5432',
  '/var/drover/postgres/run',
  '',
  '  5432001   3',
  'ready   ',
  '',
].join('\n');

describe('postmaster.pid', () => {
  it('tells the pid and whether the server is ready', () => {
    expect(parsePostmasterFile(running)).toEqual({ pid: 4711, ready: true });
    expect(parsePostmasterFile(running.replace('ready   ', 'starting'))).toEqual({ pid: 4711, ready: false });
    expect(parsePostmasterFile('4711\n')).toEqual({ pid: 4711, ready: false });
  });

  it('tells nothing when it is empty or broken, and never throws', () => {
    for (const text of ['', '\n', 'abc\n', '-5\n', '0\n']) expect(parsePostmasterFile(text)).toBeUndefined();
    fc.assert(fc.property(fc.string(), (text) => (parsePostmasterFile(text)?.pid ?? 1) > 0));
  });
});

describe('the process that postmaster.pid names', () => {
  it.each([
    ['gone', undefined, 'gone'],
    ['a zombie', { comm: 'postgres', argv: [] }, 'taken'],
    ['our server', { comm: 'postgres', argv: ['/x/bin/postgres', '-D', data, '-c', 'port=5432'] }, 'server'],
    ['an unrelated program', { comm: 'node', argv: ['node', 'server.js'] }, 'taken'],
    [
      'the server of another folder',
      { comm: 'postgres', argv: ['postgres', '-D', '/var/lib/postgresql/15/main'] },
      'taken',
    ],
    ["another server's child", { comm: 'postgres', argv: ['postgres: 15/main: checkpointer '] }, 'taken'],
    ['a server that names its folder in its environment', { comm: 'postgres', argv: ['postgres'] }, 'unclear'],
    ['a server that names its folder relatively', { comm: 'postgres', argv: ['postgres', '-D', 'data'] }, 'unclear'],
  ])('is judged: %s', (_, view, verdict) => {
    expect(judgeOwner(view, data)).toBe(verdict);
  });
});
