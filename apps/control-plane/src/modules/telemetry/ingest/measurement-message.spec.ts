import { batchMessageSchema, encodeCbor, encodeJson, sampleMessageSchema } from '@drover/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidMessageError } from './invalid-message.ts';
import { isBatchMessage, isSampleMessage, parseMeasurement } from './measurement-message.ts';

const oddValues = [
  null,
  undefined,
  Number.NaN,
  Infinity,
  -1,
  0,
  0.5,
  1,
  2 ** 53,
  2 ** 53 - 1,
  8.64e15,
  8.64e15 + 2,
  '',
  'm',
  'e',
  'boot',
  'ü',
  'a/b',
  true,
  {},
  [],
  [1],
  [null],
  ['a'],
  ['', 'a'],
  [undefined],
  [[1], [2]],
  [[1, 2], [3]],
  new Date(0),
  new Float32Array(2),
  10n,
];
const odd = fc.oneof(fc.constantFrom<unknown>(...oddValues), fc.anything());
const id = fc.oneof({ weight: 9, arbitrary: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/) }, fc.string({ maxLength: 70 }));
const seq = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.maxSafeInteger(), fc.double());
const time = fc.oneof(fc.double({ min: -1, max: 8.65e15 }), fc.integer());
const value = fc.oneof(
  { weight: 9, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  fc.constantFrom(null, null, Number.NaN, '1', undefined),
);
const names = fc.array(fc.string({ minLength: 0, maxLength: 66 }), { maxLength: 4 });

const delivery = { bootId: id, class: fc.constantFrom('m', 'm', 'm', 'e'), seq };
const sample = fc.record({ ...delivery, t: time, channels: names, values: fc.array(value, { maxLength: 4 }) });
function exactly<T>(length: number, item: fc.Arbitrary<T>) {
  return fc.array(item, { minLength: length, maxLength: length });
}

const finite = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constant(null));
const epochMs = fc.double({ min: 0, max: 8.64e15, noNaN: true });
const batch = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })).chain(([rows, width]) => {
  const whole = {
    ...delivery,
    channels: exactly(width, fc.string({ minLength: 1, maxLength: 4 })),
    columns: exactly(width, exactly(rows, finite)),
  };
  return fc.oneof(
    fc.record({ ...whole, t0: epochMs, dt: fc.double({ min: 1e-3, max: 1e6, noNaN: true }) }),
    fc.record({ ...whole, times: exactly(rows, epochMs) }),
    fc.record({
      ...whole,
      t0: time,
      dt: fc.double(),
      columns: fc.array(fc.array(value, { maxLength: 3 }), { maxLength: 3 }),
    }),
  );
});

/** Replaces or removes one field. */
function spoiled(message: fc.Arbitrary<object>): fc.Arbitrary<unknown> {
  return fc
    .tuple(
      message,
      fc.option(
        fc.tuple(
          fc.constantFrom('bootId', 'class', 'seq', 't', 't0', 'dt', 'times', 'channels', 'values', 'columns', 'x'),
          odd,
        ),
      ),
    )
    .map(([whole, change]) => (change === null ? whole : { ...whole, [change[0]]: change[1] }));
}

const good = { bootId: 'b1', class: 'm', seq: 1, t: 1_700_000_000_000.25, channels: ['a', 'b'], values: [1.5, null] };

function share(arbitrary: fc.Arbitrary<unknown>, check: (x: unknown) => boolean): number {
  return fc.sample(arbitrary, 1_000).filter((message) => check(message)).length / 1_000;
}

describe('the hand-written checks of measurements', () => {
  it('agree with the schema of a single sample', () => {
    fc.assert(
      fc.property(fc.oneof(spoiled(sample), spoiled(fc.constant(good)), odd), (message) => {
        fc.pre((message as { columns?: unknown } | null | undefined)?.columns === undefined);
        expect(isSampleMessage(message)).toBe(sampleMessageSchema.safeParse(message).success);
      }),
      { numRuns: 5_000 },
    );
  });

  it('agree with the schema of a batch', () => {
    fc.assert(
      fc.property(fc.oneof(spoiled(batch), odd), (message) => {
        expect(isBatchMessage(message)).toBe(batchMessageSchema.safeParse(message).success);
      }),
      { numRuns: 5_000 },
    );
  });

  it('take both kinds often enough for the agreement to mean something', () => {
    expect(share(spoiled(sample), isSampleMessage)).toBeGreaterThan(0.02);
    expect(share(spoiled(batch), isBatchMessage)).toBeGreaterThan(0.02);
  });
});

describe('a measurement', () => {
  it('is read from JSON and from CBOR alike', () => {
    expect(parseMeasurement(encodeJson(good))).toEqual(good);
    expect(parseMeasurement(encodeCbor(good))).toEqual(good);
  });

  it.each([
    ['no text', Buffer.from('{"bootId":'), /cannot be decoded/],
    ['an unknown codec', Buffer.from([9, 9]), /unknown codec/],
    ['nothing', Buffer.alloc(0), /empty/],
    ['broken UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), /cannot be decoded/],
    ['the wrong class', encodeJson({ ...good, class: 'e' }), /class/],
    ['no time', encodeJson({ ...good, t: null }), /^t: /],
    ['NaN in CBOR', encodeCbor({ ...good, values: [Number.NaN, 1] }), /values/],
    ['fewer values than channels', encodeJson({ ...good, values: [1] }), /one value per channel/],
    ['a value beyond float4', encodeJson({ ...good, values: [1, 1e39] }), /32-bit/],
    [
      'columns of two lengths',
      encodeJson({ bootId: 'b', class: 'm', seq: 1, t0: 0, dt: 1, channels: ['a', 'b'], columns: [[1, 2], [1]] }),
      /same length/,
    ],
    [
      'a batch that runs past the end of time',
      encodeJson({ bootId: 'b', class: 'm', seq: 1, t0: 0, dt: 1e300, channels: ['a'], columns: [[1, 2]] }),
      /^dt: /,
    ],
  ])('is refused with the reason: %s', (_, payload, reason) => {
    expect(() => parseMeasurement(payload)).toThrow(InvalidMessageError);
    expect(() => parseMeasurement(payload)).toThrow(reason);
  });
});
