import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.ts';
import { ERROR_TERMS, errorTerms, scoresOf } from './error-terms.ts';
import { Imitation } from './imitation.ts';
import { SquaredError } from './objective.ts';

const SHAPE = { window: 5, channels: 2 };
const SIZE = 10;
const COUNT = 4;
const random = seededRandom(3);
const numbers = (length: number): Float32Array => new Float32Array(length).map(() => random() * 4 - 2);
const inputs = numbers(COUNT * SIZE);
const targets = numbers(COUNT * SIZE);
const outputs = numbers(COUNT * SIZE);
const weights = new Float64Array(ERROR_TERMS * SHAPE.channels).map(() => random());
const scores = new Float64Array(COUNT).map(() => random() * 3);
const LESSON = { shape: SHAPE, weights, limit: 6, teacherShare: 1, healedShare: 0, scoreShare: 0.7 };

const OBJECTIVES = {
  'squared error': new SquaredError(targets, SIZE),
  imitation: new Imitation(inputs, targets, scores, LESSON),
};

describe.each(Object.entries(OBJECTIVES))('the %s', (_, objective) => {
  const slice = { indices: Int32Array.of(2, 0, 3), from: 0, count: 3 };

  it('has the gradients that small changes of the outputs show', () => {
    const gradients = new Float32Array(3 * SIZE);
    objective.evaluate(slice, outputs, gradients);
    const step = 1 / 128;
    for (let i = 0; i < gradients.length; i += 1) {
      const changed = (by: number): number =>
        objective.evaluate(
          slice,
          outputs.map((value, j) => (i === j ? value + by : value)),
          null,
        ) / 3;
      expect((changed(step) - changed(-step)) / (2 * step)).toBeCloseTo(gradients[i]!, 3);
    }
  });
});

describe('imitation', () => {
  it('looks at the score that the detector will give', () => {
    const own = scoresOf(errorTerms(inputs, outputs, SHAPE), weights).map((score) => score ** 2);
    const right = new Imitation(inputs, outputs, own, LESSON);
    const slice = { indices: Int32Array.of(0, 1, 2, 3), from: 0, count: COUNT };
    expect(right.evaluate(slice, outputs, null)).toBeCloseTo(0, 8);
  });
});
