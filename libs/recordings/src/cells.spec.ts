import { assert, date, double, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseLabel, parseNumber, parseTime } from './cells.ts';

describe('parseTime', () => {
  it.each([
    ['2020-02-08 13:30:47', Date.UTC(2020, 1, 8, 13, 30, 47)],
    ['2014-04-10 07:15:00.000000', Date.UTC(2014, 3, 10, 7, 15)],
    ['2020-02-08T13:30:47.25Z', Date.UTC(2020, 1, 8, 13, 30, 47, 250)],
    ['2020-02-08T13:30:47+02:00', Date.UTC(2020, 1, 8, 11, 30, 47)],
    ['2020-02-08 13:30 -0530', Date.UTC(2020, 1, 8, 19, 0)],
    ['2020-02-08', Date.UTC(2020, 1, 8)],
    ['1581168647', 1_581_168_647_000],
    ['1581168647.5', 1_581_168_647_500],
    ['1581168647000', 1_581_168_647_000],
    ['1581168647000000', 1_581_168_647_000],
    ['1581168647000000000', 1_581_168_647_000],
    ['0', 0],
  ])('reads %s, without a zone as UTC', (text, expected) => {
    expect(parseTime(text)).toBe(expected);
  });

  it.each(['', 'yesterday', '2020-13-01', '2020-02-30', '2020-02-08 24:00:00', '2020-02-08 10:61', '08/02/2020'])(
    'refuses "%s"',
    (text) => {
      expect(parseTime(text)).toBeUndefined();
    },
  );

  it('reads every instant that JavaScript writes', () => {
    const instants = date({ min: new Date('0100-01-01'), max: new Date('9999-12-31'), noInvalidDate: true });
    assert(
      property(instants, (instant) => {
        expect(parseTime(instant.toISOString())).toBe(instant.getTime());
      }),
    );
  });
});

describe('parseNumber', () => {
  it('reads every finite number that JavaScript writes', () => {
    assert(
      property(double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        // JavaScript writes −0 as "0".
        expect(parseNumber(String(value), false)).toBe(value + 0);
      }),
    );
  });

  it('reads a decimal comma only where it is one', () => {
    expect(parseNumber('-1,5e3', true)).toBe(-1_500);
    expect(parseNumber('1,5', false)).toBeUndefined();
  });

  it.each(['', 'NaN', 'null', 'N/A', '-'])('takes "%s" as missing', (text) => {
    expect(parseNumber(text, false)).toBeNaN();
  });

  it.each(['0x10', '1 2', 'Infinity', '1e', 'on', '1_000'])('refuses "%s"', (text) => {
    expect(parseNumber(text, false)).toBeUndefined();
  });
});

describe('parseLabel', () => {
  it.each([
    ['0', 0],
    ['0.0', 0],
    ['1.0', 1],
    ['2', 1],
    ['True', 1],
    ['normal', 0],
    ['', 0],
    ['maybe', undefined],
  ])('reads "%s" as %s', (text, label) => {
    expect(parseLabel(text)).toBe(label);
  });
});
