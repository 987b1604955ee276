import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelDamagedError, ModelSizeError } from './errors.ts';
import { unpackModel } from './model-file.ts';
import { sampleDetector } from './sample-detector.fixture.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-model-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const graph = sampleDetector({ window: 64, channels: 8 });
const packed = zstdCompressSync(graph);
const zstd = (decodedSizeBytes?: number) => ({ encoding: 'zstd', decodedSizeBytes }) as const;

/** A Zstandard frame (RFC 8878, 3.1.1) of one raw block, with a window of 2^windowLog bytes. */
function rawFrame(bytes: Buffer, windowLog: number): Buffer {
  const block = (bytes.length << 3) | 1;
  const head = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (windowLog - 10) << 3, block & 0xff, (block >> 8) & 0xff, block >> 16];
  return Buffer.concat([Buffer.from(head), bytes]);
}

describe('a model as it was transferred', () => {
  it('is taken as it is where it is not encoded', async () => {
    expect(await unpackModel('/models/one')).toBe('/models/one');
    expect(await unpackModel(graph, { encoding: 'identity' })).toBe(graph);
  });

  it('is unpacked from bytes and from a file', async () => {
    const path = join(folder, 'packed');
    await writeFile(path, packed);
    for (const model of [packed, path]) {
      expect(Buffer.from((await unpackModel(model, zstd(graph.length))) as Uint8Array).equals(graph)).toBe(true);
    }
  });

  it('is refused where it is smaller or larger than announced, or nothing is', async () => {
    for (const announced of [graph.length - 1, graph.length + 1, 1, undefined]) {
      await expect(unpackModel(packed, zstd(announced))).rejects.toThrow(ModelSizeError);
    }
  });

  it('stops a bomb at the size announced', async () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 * 2 ** 20));
    expect(bomb.length).toBeLessThan(10_000);
    const before = process.memoryUsage().rss;
    await expect(unpackModel(bomb, zstd(100_000))).rejects.toThrow(ModelSizeError);
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * 2 ** 20);
  });

  it('refuses a decoder window far beyond the file', async () => {
    const bytes = Buffer.alloc(1_000, 7);
    expect(await unpackModel(rawFrame(bytes, 20), zstd(1_000))).toEqual(bytes);
    await expect(unpackModel(rawFrame(bytes, 27), zstd(1_000))).rejects.toThrow(ModelDamagedError);
  });

  it('is refused wherever it is cut off', async () => {
    for (let length = 0; length < packed.length; length += 7) {
      await expect(unpackModel(packed.subarray(0, length), zstd(graph.length))).rejects.toThrow(
        /cannot be unpacked|unpacks to/,
      );
    }
  });

  it('never comes out as something else when bytes are changed, and never crashes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const damaged = Uint8Array.from(packed);
        damaged[at]! ^= flip;
        const outcome = await unpackModel(damaged, zstd(graph.length)).catch((error: unknown) => error);
        // The digest of what was transferred is checked before; here only that nothing larger comes, and errors are typed.
        if (outcome instanceof Uint8Array) expect(outcome.length).toBe(graph.length);
        else expect([ModelDamagedError, ModelSizeError]).toContain((outcome as Error).constructor);
      }),
    );
  });

  it('is refused where there is no file', async () => {
    await expect(unpackModel(join(folder, 'none'), zstd(10))).rejects.toThrow(ModelDamagedError);
  });
});
