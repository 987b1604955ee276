import { ackMessageSchema, encodeCbor, encodeJson } from '@drover/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CommitConfirmations, deliveryOf, rangesOf } from './commit-confirmations.ts';

describe('ranges', () => {
  it('hold exactly the numbers that were given, in as few ranges as can be', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(60)), (numbers) => {
        const ranges = rangesOf(numbers);
        const held = ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
        expect(held).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
        for (const [i, [from]] of ranges.entries()) if (i > 0) expect(from).toBeGreaterThan(ranges[i - 1]![1] + 1);
      }),
    );
  });
});

describe('what a message is known by', () => {
  it('is read from JSON and CBOR, whatever else it holds', () => {
    const content = { bootId: 'b', class: 'm', seq: 7, more: [1] };
    for (const payload of [encodeJson(content), encodeCbor(content)]) {
      expect(deliveryOf(payload)).toEqual({ bootId: 'b', class: 'm', seq: 7 });
    }
  });

  it.each([
    ['{'],
    ['{}'],
    ['null'],
    ['{"bootId":"b","class":"x","seq":1}'],
    ['{"bootId":"b","class":"m","seq":"1"}'],
    [''],
  ])('is nothing in %s', (text) => expect(deliveryOf(Buffer.from(text))).toBeNull());
});

describe('confirmations', () => {
  it('are one valid message per device and boot, and said once', () => {
    const confirmations = new CommitConfirmations();
    for (const seq of [3, 1, 2, 9]) confirmations.add('one/ack', 'b-1', 'm', seq);
    confirmations.add('one/ack', 'b-1', 'e', 1);
    confirmations.add('one/ack', 'b-0', 'e', 5);
    confirmations.add('two/ack', 'b-1', 's', 2);
    const messages = confirmations.take();
    expect(messages).toEqual([
      {
        topic: 'one/ack',
        ack: {
          bootId: 'b-1',
          committed: {
            m: [
              [1, 3],
              [9, 9],
            ],
            e: [[1, 1]],
          },
        },
      },
      { topic: 'one/ack', ack: { bootId: 'b-0', committed: { e: [[5, 5]] } } },
      { topic: 'two/ack', ack: { bootId: 'b-1', committed: { s: [[2, 2]] } } },
    ]);
    for (const { ack } of messages) expect(ackMessageSchema.parse(ack)).toEqual(ack);
    expect(confirmations.empty).toBe(true);
    expect(confirmations.take()).toEqual([]);
  });
});
