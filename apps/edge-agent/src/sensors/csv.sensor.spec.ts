import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '@drover/runtime';
import { CsvSensor } from './csv.sensor.ts';
import type { CsvSensorOptions } from './csv.sensor.ts';
import type { Sample } from './sensor.ts';

let folder: string;
const RECORDED_START = Date.UTC(2020, 1, 8, 13, 30, 47);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-csv-'));
  const lines = ['datetime;Current;Pressure;anomaly;changepoint'];
  for (let i = 0; i < 5; i += 1) lines.push(`2020-02-08 13:30:${47 + i};${i}.5;${i * 2};${i % 2};0.0`);
  await writeFile(join(folder, 'skab.csv'), lines.join('\n'));
  await writeFile(join(folder, 'empty.csv'), 'datetime;Current\n');
});
afterAll(() => rm(folder, { recursive: true }));

const sensor = (options: Partial<CsvSensorOptions> = {}): CsvSensor =>
  new CsvSensor({
    path: join(folder, 'skab.csv'),
    speed: 100,
    loop: false,
    time: 'now',
    clock: systemClock,
    ...options,
  });

async function collect(from: CsvSensor, most = 100): Promise<Sample[]> {
  const samples: Sample[] = [];
  const stop = new AbortController();
  await from.open();
  await from.run((sample) => {
    samples.push(sample);
    if (samples.length === most) stop.abort();
  }, stop.signal);
  return samples;
}

describe('a replayed recording', () => {
  it('has channels for its measurements and none for its labels', async () => {
    expect((await sensor().open()).channels).toEqual(['Current', 'Pressure']);
    const samples = await collect(sensor());
    expect(samples.map((sample) => [...sample.values])).toEqual([
      [0.5, 0],
      [1.5, 2],
      [2.5, 4],
      [3.5, 6],
      [4.5, 8],
    ]);
  });

  it('is rebased to now, with the recorded spacing divided by the speed', async () => {
    const before = Date.now();
    const samples = await collect(sensor({ speed: 50 }));
    expect(samples[0]!.timeMs).toBeGreaterThanOrEqual(before);
    for (const [i, sample] of samples.entries()) expect(sample.timeMs - samples[0]!.timeMs).toBeCloseTo(i * 20, 6);
    expect(Date.now() - before).toBeGreaterThanOrEqual(75);
  });

  it('knows the rate at which its samples come, in their own time', async () => {
    expect((await sensor({ speed: 50 }).open()).rateHz).toBe(50);
    expect((await sensor({ speed: 50, time: 'recorded' }).open()).rateHz).toBe(1);
  });

  it('keeps its recorded times where they are asked for', async () => {
    const samples = await collect(sensor({ time: 'recorded' }));
    expect(samples.map((sample) => sample.timeMs)).toEqual([0, 1, 2, 3, 4].map((s) => RECORDED_START + s * 1_000));
  });

  it('goes on in time when it loops', async () => {
    const samples = await collect(sensor({ time: 'recorded', loop: true, speed: 1_000 }), 12);
    expect(samples).toHaveLength(12);
    expect(samples.map((sample) => sample.timeMs - RECORDED_START)).toEqual(samples.map((_, i) => i * 1_000));
    expect(samples[5]!.values).toEqual(samples[0]!.values);
  });

  it('stops at once when it is told to', async () => {
    const stop = new AbortController();
    const slow = sensor({ speed: 0.001 });
    await slow.open();
    const done = slow.run(() => stop.abort(), stop.signal);
    await expect(done).resolves.toBeUndefined();
  });

  it('says what is wrong with a file that cannot be replayed', async () => {
    await expect(sensor({ path: join(folder, 'none.csv') }).open()).rejects.toThrow(/cannot be replayed: .*none\.csv/);
    await expect(sensor({ path: join(folder, 'empty.csv') }).open()).rejects.toThrow(/has no rows/);
  });
});
