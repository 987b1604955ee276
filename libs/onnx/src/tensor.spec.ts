import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DataType } from './data-types.ts';
import { InvalidTensorError } from './errors.ts';
import { float16ToNumber, numberToFloat16 } from './float16.ts';
import { emptyTensor, float16, float32, int32, int64, int8, tensorOf, tensorValues, uint8 } from './tensor.ts';

describe('tensors', () => {
  it('writes little-endian raw data', () => {
    expect([...(float32(1).rawData ?? [])]).toEqual([0, 0, 0x80, 0x3f]);
    expect([...(int64([-2]).rawData ?? [])]).toEqual([0xfe, 255, 255, 255, 255, 255, 255, 255]);
    expect([...(int32([258]).rawData ?? [])]).toEqual([2, 1, 0, 0]);
  });

  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -128, max: 127 })), (values) => {
        for (const make of [int8, int32, int64, float32, float16]) {
          expect([...tensorValues(make(values))]).toEqual(values);
        }
        const positive = values.map((value) => value + 128);
        expect([...tensorValues(uint8(positive))]).toEqual(positive);
      }),
    );
  });

  it('reads the typed fields too, float16 bits included', () => {
    const half = { ...emptyTensor(), dataType: DataType.FLOAT16, dims: [2], int32Data: [0x3c00, 0xc000] };
    expect([...tensorValues(half)]).toEqual([1, -2]);
    const brain = { ...emptyTensor(), dataType: DataType.BFLOAT16, dims: [1], int32Data: [0x3f80] };
    expect([...tensorValues(brain)]).toEqual([1]);
  });

  it('reads raw data at any byte offset', () => {
    const bytes = new Uint8Array([9, ...(float32([1.5, -2]).rawData ?? [])]).subarray(1);
    expect([...tensorValues({ ...float32([0, 0]), rawData: bytes })]).toEqual([1.5, -2]);
  });

  it('refuses values that do not fill the shape, and types that are no numbers', () => {
    expect(() => tensorOf(DataType.FLOAT, [1, 2, 3], [2, 2])).toThrow(/4 elements, not 3/);
    expect(() => tensorValues({ ...float32([1, 2]), dims: [3] })).toThrow(InvalidTensorError);
    expect(() => tensorValues({ ...emptyTensor(), dataType: DataType.STRING, dims: [0] })).toThrow(/STRING/);
  });

  it('makes a scalar of a bare number', () => {
    expect(float32(3).dims).toEqual([]);
    expect(float32([3]).dims).toEqual([1]);
  });
});

describe('float16', () => {
  it('decodes and encodes every one of the 65,536 bit patterns', () => {
    for (let bits = 0; bits < 65_536; bits += 1) {
      const value = float16ToNumber(bits);
      if (Number.isNaN(value)) expect(Number.isNaN(float16ToNumber(numberToFloat16(value)))).toBe(true);
      else if (numberToFloat16(value) !== bits) expect.unreachable(`${bits} → ${value} → ${numberToFloat16(value)}`);
    }
  });

  it('agrees with the platform on rounding', () => {
    fc.assert(
      fc.property(fc.oneof(fc.float(), fc.double({ min: -70_000, max: 70_000, noNaN: true })), (value) => {
        const bits = numberToFloat16(value);
        expect(float16ToNumber(bits)).toEqual(new Float16Array([value])[0]);
      }),
    );
  });
});
