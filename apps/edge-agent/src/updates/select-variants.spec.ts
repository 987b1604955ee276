import { describe, expect, it } from 'vitest';
import { manifestSchema } from '@drover/contracts';
import type { Manifest } from '@drover/contracts';
import { ReleaseSource } from './release.fixture.ts';
import type { SampleVariant } from './release.fixture.ts';
import { fitDisk, selectVariants } from './select-variants.ts';
import { NoCandidateError } from './update-errors.ts';

const MIB = 2 ** 20;

function select(variants: readonly SampleVariant[], memoryBytes: number): { fitting: string[]; dropped: string[] } {
  const source = new ReleaseSource();
  const target = source.publish({ release: 'one', variants });
  const document = JSON.parse(source.artifacts.get(target.manifest.digest)!.toString()) as { payload: unknown };
  const manifest: Manifest = manifestSchema.parse(document.payload);
  const { fitting, dropped } = selectVariants(manifest, target, { channels: ['pressure', 'flow'], memoryBytes });
  return {
    fitting: fitting.map(({ name }) => name),
    dropped: dropped.map(({ variant, message }) => `${variant}: ${message}`),
  };
}

describe('the variants that fit a board', () => {
  it('leave out those whose memory the board does not have, and keep the server’s order', () => {
    const variants = [
      { name: 'fp32', peakMemoryBytes: 300 * MIB },
      { name: 'int4', peakMemoryBytes: 40 * MIB },
      { name: 'fp16', minMemoryBytes: 1_024 * MIB },
      { name: 'int8', peakMemoryBytes: 80 * MIB },
    ];
    expect(select(variants, 512 * MIB)).toEqual({
      fitting: ['int4', 'int8'],
      dropped: ['fp32: needs more memory than there is', 'fp16: needs more memory than there is'],
    });
    expect(select(variants, 4_096 * MIB).fitting).toEqual(['fp32', 'int4', 'fp16', 'int8']);
    expect(() => select(variants, 64 * MIB)).toThrow(NoCandidateError);
  });

  it('count what a packed model unpacks to', () => {
    const packed = { name: 'packed', packed: { lie: 300 * MIB } };
    expect(select([packed, { name: 'plain' }], 512 * MIB).fitting).toEqual(['plain']);
  });
});

describe('the room on the disk', () => {
  it('goes to the preferred candidates, and to others that still fit', () => {
    expect(fitDisk([5, 9, 3], (bytes) => bytes, 10)).toEqual([5, 3]);
    expect(fitDisk([5, 9, 3], (bytes) => bytes, -1)).toEqual([]);
    expect(fitDisk([0, 9], (bytes) => bytes, 5)).toEqual([0]);
  });
});
