import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { batchMessageSchema, sampleMessageSchema } from '@drover/contracts';
import { MAX_BATCH_VALUES, measurementMessages, wireValue } from './measurement-message.ts';
import { RowAggregator } from './row-aggregator.ts';
import type { Row } from './row-aggregator.ts';

const row = (timeMs: number, ...values: number[]): Row => ({ timeMs, values: Float32Array.from(values) });

describe('rows of measurements', () => {
  it('pass as they are where no interval is set', () => {
    const aggregator = new RowAggregator(0);
    expect(aggregator.add(row(5, 1))).toEqual(row(5, 1));
    expect(aggregator.take()).toBeUndefined();
  });

  it('are the means of an interval, at the time of its last sample', () => {
    const aggregator = new RowAggregator(1_000);
    expect(aggregator.add(row(1_000, 1, 10))).toBeUndefined();
    expect(aggregator.add(row(1_900, 3, 20))).toBeUndefined();
    expect(aggregator.add(row(2_000, 7, 7))).toEqual(row(1_900, 2, 15));
    expect(aggregator.take()).toEqual(row(2_000, 7, 7));
    expect(aggregator.take()).toBeUndefined();
  });

  it('leave missing values out of the mean, and are missing where nothing was there', () => {
    const aggregator = new RowAggregator(1_000);
    aggregator.add(row(0, Number.NaN, Number.NaN));
    aggregator.add(row(1, 4, Number.NaN));
    expect(aggregator.take()!.values).toEqual(Float32Array.from([4, Number.NaN]));
  });

  it('lose nothing when the interval changes', () => {
    const aggregator = new RowAggregator(1_000);
    aggregator.add(row(10, 1));
    expect(aggregator.setInterval(0)).toEqual(row(10, 1));
    expect(aggregator.add(row(11, 2))).toEqual(row(11, 2));
  });
});

describe('measurement messages', () => {
  it('are one sample for one row', () => {
    expect(measurementMessages(['a', 'b'], [row(5, 1.5, Number.NaN)])).toEqual([
      { t: 5, channels: ['a', 'b'], values: [1.5, null] },
    ]);
  });

  it('give evenly spaced rows a spacing and others their times', () => {
    expect(measurementMessages(['a'], [row(0, 1), row(10, 2), row(20, 3)])).toEqual([
      { t0: 0, dt: 10, channels: ['a'], columns: [[1, 2, 3]] },
    ]);
    expect(measurementMessages(['a'], [row(0, 1), row(10, 2), row(15, 3)])).toEqual([
      { times: [0, 10, 15], channels: ['a'], columns: [[1, 2, 3]] },
    ]);
  });

  it('keep every row, in messages that the contract accepts', () => {
    const rows = fc.array(fc.tuple(fc.integer({ min: 0, max: 1e6 }), fc.float(), fc.float()), { maxLength: 50 });
    fc.assert(
      fc.property(rows, (list) => {
        const input = list.map(([t, a, b]) => row(t, a, b));
        let count = 0;
        for (const body of measurementMessages(['a', 'b'], input)) {
          const message = { bootId: 'b', class: 'm', seq: 1, ...body };
          const schema = 't' in body ? sampleMessageSchema : batchMessageSchema;
          expect(schema.safeParse(message).error?.issues).toBeUndefined();
          count += 't' in body ? 1 : body.columns[0]!.length;
        }
        expect(count).toBe(input.length);
      }),
    );
  });

  it('split what is too large for one', () => {
    const channels = Array.from({ length: 64 }, (_, i) => `c${i}`);
    const rows = Array.from({ length: 300 }, (_, i) => ({ timeMs: i, values: new Float32Array(64) }));
    const messages = measurementMessages(channels, rows);
    expect(messages.length).toBeGreaterThan(1);
    for (const body of messages) {
      expect('columns' in body && body.columns.length * body.columns[0]!.length).toBeLessThanOrEqual(MAX_BATCH_VALUES);
    }
  });

  it('write each value in few digits that read back as the same float32', () => {
    expect(wireValue(Math.fround(0.1))).toBe(0.1);
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(Math.fround(wireValue(value)!)).toBe(value === 0 ? wireValue(value) : value);
      }),
    );
  });
});
