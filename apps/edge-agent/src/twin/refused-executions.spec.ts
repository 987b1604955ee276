import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { desiredStateSchema } from '@drover/contracts';
import { refusedExecutions } from './refused-executions.ts';

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const pipeline = (execution: string | null) => ({
  release: 'r',
  releaseVersion: 1,
  rollout: null,
  execution,
  manifest: { digest: '0'.repeat(64), sizeBytes: 1 },
  candidates: ['fp32'],
  calibration: null,
});

describe('executions of a refused document', () => {
  it('are those that the trusted document does not know', () => {
    const document = bytes({ payload: { pipelines: { a: pipeline('x1'), b: pipeline('x2'), c: pipeline(null) } } });
    const current = desiredStateSchema.parse({
      format: 'drover.desired/1',
      keys: { kind: 'keys', payload: {}, signatures: [{ keyId: 'k', signature: 'AA' }] },
      pipelines: { a: pipeline('x1') },
    });
    expect(refusedExecutions(document, null)).toEqual(['x1', 'x2']);
    expect(refusedExecutions(document, current)).toEqual(['x2']);
  });

  it('are none in anything that is no such document', () => {
    expect(refusedExecutions(new TextEncoder().encode('{'), null)).toEqual([]);
    expect(refusedExecutions(bytes({ payload: { pipelines: { a: { execution: '../x' } } } }), null)).toEqual([]);
    fc.assert(
      fc.property(fc.json(), (text) => {
        refusedExecutions(new TextEncoder().encode(text), null);
      }),
    );
  });
});
