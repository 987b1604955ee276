import { array, assert, constantFrom, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SampleReader, SampleWriter, createSharedRing } from './sample-ring.ts';

function rows(reader: SampleReader, count: number): Promise<number[]> {
  const seen: number[] = [];
  return reader.replay(count, (_, offset) => seen.push(reader.values[offset]!)).then(() => seen);
}

describe('the sample ring', () => {
  it('gives rows in the order in which they were written, and refuses what does not fit', () => {
    assert(
      property(
        array(constantFrom('write', 'read'), { maxLength: 400 }),
        integer({ min: 1, max: 9 }),
        (steps, queueRows) => {
          const ring = createSharedRing({ channels: 2, queueRows, historyRows: 3 });
          const writer = new SampleWriter(ring);
          const reader = new SampleReader(ring);
          const model: number[] = [];
          let next = 0;
          let refused = 0;
          for (const step of steps) {
            if (step === 'write') {
              next += 1;
              const taken = writer.write(next * 10, next, [next, -next]);
              expect(taken).toBe(model.length < queueRows);
              if (taken) model.push(next);
              else refused += 1;
            } else if (model.length > 0) {
              const row = model.shift()!;
              expect([reader.timeMs, reader.arrivalMs]).toEqual([row * 10, row]);
              expect([...reader.values.subarray(reader.offset, reader.offset + 2)]).toEqual([row, -row]);
              reader.advance();
            }
            expect(reader.pending).toBe(model.length);
          }
          expect(writer.refused).toBe(refused);
        },
      ),
    );
  });

  it('keeps the newest processed rows, however full the queue is', async () => {
    const ring = createSharedRing({ channels: 1, queueRows: 4, historyRows: 4 });
    const writer = new SampleWriter(ring);
    const reader = new SampleReader(ring);
    expect(await rows(reader, 4)).toEqual([]);
    let next = 0;
    for (let round = 0; round < 50; round += 1) {
      while (writer.write(next, 1, [next])) next += 1;
      for (let i = 0; i < 3; i += 1) reader.advance();
      const end = next - reader.pending;
      const expected = [4, 3, 2, 1].map((i) => end - i).filter((row) => row >= 0);
      expect(await rows(reader, 4)).toEqual(expected);
    }
  });

  it('goes on right where positions wrap', async () => {
    const ring = createSharedRing({ channels: 1, queueRows: 4, historyRows: 4 });
    const header = new Int32Array(ring.memory, 0, 2);
    header.fill(2 ** 31 - 3);
    const writer = new SampleWriter(ring);
    const reader = new SampleReader(ring);
    for (let i = 0; i < 8; i += 1) {
      expect(writer.write(i, 1, [i])).toBe(true);
      expect(reader.values[reader.offset]).toBe(i);
      reader.advance();
    }
    expect(reader.position).toBeLessThan(0);
    expect(await rows(reader, 3)).toEqual([5, 6, 7]);
  });

  it('lets a new reader go back, but not further than half the history', () => {
    const ring = createSharedRing({ channels: 1, queueRows: 8, historyRows: 8 });
    const writer = new SampleWriter(ring);
    const reader = new SampleReader(ring);
    const positions: number[] = [];
    for (let i = 0; i < 8; i += 1) {
      writer.write(i, 1, [i]);
      positions.push(reader.position);
      reader.advance();
    }
    writer.rewind(positions[1]!);
    expect(new SampleReader(ring).position).toBe(8);
    writer.rewind(positions[5]!);
    const next = new SampleReader(ring);
    expect([next.pending, next.values[next.offset]]).toEqual([3, 5]);
  });

  it('wakes a sleeping reader once, and does not let it sleep over rows that just came', () => {
    const ring = createSharedRing({ channels: 1, queueRows: 4, historyRows: 4 });
    const writer = new SampleWriter(ring);
    const reader = new SampleReader(ring);
    expect(writer.takeSleeping()).toBe(false);
    expect(reader.sleep()).toBe(true);
    writer.write(1, 1, [1]);
    expect(writer.takeSleeping()).toBe(true);
    expect(writer.takeSleeping()).toBe(false);
    expect(reader.sleep()).toBe(false);
    expect(writer.takeSleeping()).toBe(false);
  });
});
