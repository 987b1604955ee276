import { array, assert, constant, float, jsonValue, oneof, property, record, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeSnapshot, encodeSnapshot } from './snapshot-codec.ts';
import type { PipelineSnapshot } from './worker-messages.ts';

const episode = {
  id: 'a1',
  revision: 3,
  startedAt: 1_000,
  peakAt: 2_000,
  peakScore: 12.5,
  threshold: 10,
  windows: 4,
  lastAt: 4_000,
  emittedAt: 3_000,
  peakShares: [0.25, 0.75],
};

describe('a snapshot as text', () => {
  it('comes back as it was', () => {
    const snapshots = record({
      key: string(),
      position: constant(-5),
      state: record({
        lastTimeMs: oneof(constant(null), constant(4_000)),
        policy: constant({ kind: 'threshold', active: true, run: 0 } as const),
        tracker: oneof(constant({ episode: null }), constant({ episode })),
        detector: record({ level: array(float()).map((values) => Float32Array.from(values)) }),
      }),
    });
    assert(
      property(snapshots, (snapshot: PipelineSnapshot) => {
        expect(decodeSnapshot(encodeSnapshot(snapshot))).toEqual(snapshot);
      }),
    );
  });

  it('is nothing where the text is something else, whatever it is', () => {
    assert(
      property(
        oneof(
          string(),
          jsonValue().map((value) => JSON.stringify(value)),
        ),
        (text) => {
          expect(decodeSnapshot(text)).toBeNull();
        },
      ),
    );
    const half = { key: 'k', position: 0, state: { lastTimeMs: 1, policy: { kind: 'threshold' }, detector: {} } };
    expect(
      decodeSnapshot(JSON.stringify({ ...half, state: { ...half.state, tracker: { episode: { id: 4 } } } })),
    ).toBeNull();
  });
});
