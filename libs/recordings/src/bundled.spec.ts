import { readFile, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { bundledRecordings } from './bundled.ts';
import { findRecordings } from './find-recordings.ts';
import { loadRecording } from './load-recording.ts';
import { PUMP_RECORDINGS, pumpRecordingCsv } from './pump/pump-recording.ts';

const { normal, faults } = bundledRecordings();

describe('the bundled recordings', () => {
  it('are byte for byte what the generator makes', async () => {
    for (const [i, path] of [normal, ...faults].entries()) {
      expect(await readFile(path, 'utf8')).toBe(pumpRecordingCsv(PUMP_RECORDINGS[i]!));
    }
  });

  it('are smaller than a megabyte together', async () => {
    const sizes = await Promise.all([normal, ...faults].map(async (path) => (await stat(path)).size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(1_000_000);
  });

  it('have a healthy part to train on, and two or three labelled faults each', async () => {
    const training = await loadRecording(normal);
    expect(training.rows).toBe(2_000);
    expect(training.labels!.includes(1)).toBe(false);
    for (const path of faults) {
      const { labels, channels } = await loadRecording(path);
      expect(channels).toEqual(training.channels);
      expect(labels!.subarray(0, 300).includes(1)).toBe(false);
      const onsets = labels!.filter((label, i) => label === 1 && labels![i - 1] === 0).length;
      expect(onsets).toBeGreaterThanOrEqual(2);
      expect(onsets).toBeLessThanOrEqual(3);
      expect(labels!.at(-1)).toBe(0);
    }
  });

  it('are found in their folder in natural order', async () => {
    const found = await findRecordings(new URL('../bundled', import.meta.url).pathname);
    expect(found.map(({ name }) => name)).toEqual(['pump-1', 'pump-2', 'pump-3', 'pump-normal']);
  });
});
