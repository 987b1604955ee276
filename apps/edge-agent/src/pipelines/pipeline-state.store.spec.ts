import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PathState } from '@drover/inference';
import { silentLogger } from '@drover/runtime';
import { PipelineStateStore, restAfterSave } from './pipeline-state.store.ts';

let folder: string;
let store: PipelineStateStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-state-'));
  store = new PipelineStateStore(folder, silentLogger);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const tail = { kind: 'tail', active: true, rows: 9, peak: 3.5, untilRow: 40, histories: [] } as const;
const state: PathState = {
  lastTimeMs: 5,
  policy: tail,
  tracker: { episode: null },
  detector: { level: Float32Array.of(1, 2.5) },
};

describe('what a detector remembers over restarts', () => {
  it('comes back as it was, of any kind of policy', async () => {
    for (const policy of [tail, { kind: 'threshold', active: false, run: 2 } as const]) {
      await store.save('pump', 'one', { ...state, policy });
      expect(await store.load('pump', 'one')).toEqual({ ...state, policy });
    }
  });

  it('is nothing to another detector', async () => {
    await store.save('pump', 'one', state);
    expect(await store.load('pump', 'two')).toBeNull();
    expect(await store.load('fan', 'one')).toBeNull();
  });

  it('keeps decisions apart from the model’s own state, which may be older or not there', async () => {
    await store.saveDecisions('pump', 'one', state);
    expect(await store.load('pump', 'one')).toEqual({ ...state, detector: {} });
    await store.save('pump', 'one', state);
    await store.saveDecisions('pump', 'one', { ...state, lastTimeMs: 9, detector: { level: Float32Array.of(7, 7) } });
    expect(await store.load('pump', 'one')).toEqual({ ...state, lastTimeMs: 9 });
    // The state of the detector before is not taken for this one's.
    await store.saveDecisions('pump', 'two', state);
    expect(await store.load('pump', 'two')).toEqual({ ...state, detector: {} });
  });

  it.each([
    ['bytes that are nothing', Buffer.from('\u0000junk')],
    ['another version', serialize({ format: 'drover.path-state/0', identity: 'one', state })],
    ['no version', serialize({ identity: 'one', state })],
    ['no state', serialize({ format: 'drover.path-state/1', identity: 'one' })],
    ['another shape', serialize({ format: 'drover.path-state/1', identity: 'one', state: { policy: 7 } })],
    ['a plain null', serialize(null)],
  ])('is nothing where the file holds %s', async (_, bytes) => {
    await writeFile(join(folder, 'pump.state'), bytes);
    expect(await store.load('pump', 'one')).toBeNull();
  });

  it('can be forgotten', async () => {
    await store.save('pump', 'one', state);
    await store.forget('pump');
    expect(await store.load('pump', 'one')).toBeNull();
  });

  it('is stored the more seldom, the larger it is', () => {
    expect(restAfterSave(state, 60_000)).toBe(60_000);
    const large = { ...state, detector: { memory: new Float32Array(100_000) } };
    expect(restAfterSave(large, 60_000)).toBeCloseTo((400_000 / 4_096) * 1_000);
  });
});
