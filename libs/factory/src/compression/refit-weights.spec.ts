import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.ts';
import { refitWeights } from './refit-weights.ts';
import type { SparseLayer } from './refit-weights.ts';

/** Inputs 0 and 1 are nearly the same, input 2 is nearly constant; the layer uses all three. */
function layer(hasBias: boolean): SparseLayer {
  const random = seededRandom(1);
  const rows = 400;
  const activations = new Float32Array(rows * 3);
  for (let row = 0; row < rows; row += 1) {
    const value = random() - 0.5;
    activations.set([value, value + 0.01 * random(), 2 + 0.01 * random()], row * 3);
  }
  const dense = Float64Array.from([3, 2, 1]);
  return { dense, sparse: Float64Array.from([3, 0, 0]), inputs: 3, outputs: 1, activations, hasBias };
}

describe('weights that are left', () => {
  it('take over from what is gone, and the bias what was constant', () => {
    const { weights, shift } = refitWeights(layer(true))!;
    // 3·a + 2·a and 1·2: the ridge holds a little back.
    expect(weights[0]).toBeGreaterThan(4);
    expect(weights[0]).toBeLessThan(5.05);
    expect(shift[0]).toBeCloseTo(2, 1);
    expect([...weights.subarray(1)]).toEqual([0, 0]);
  });

  it('stay as they are where it does not help on rows that were not looked at', () => {
    const random = seededRandom(2);
    const opposite = new Float32Array(40 * 3);
    for (let row = 0; row < 40; row += 1) {
      const value = random() - 0.5;
      // What goes together in the rows that are fitted goes apart in the others.
      opposite.set([value, row % 2 === 0 ? value : -value, 0], row * 3);
    }
    expect(refitWeights({ ...layer(false), activations: opposite })).toBeUndefined();
    expect(refitWeights({ ...layer(true), activations: opposite.subarray(0, 6) })).toBeUndefined();
  });

  it('are not looked for where that would take too long', () => {
    const [inputs, outputs] = [6_000, 400];
    const dense = new Float64Array(inputs * outputs).fill(1);
    const large = { dense, sparse: dense, inputs, outputs, activations: new Float32Array(inputs * 8), hasBias: false };
    expect(refitWeights(large)).toBeUndefined();
  });
});
