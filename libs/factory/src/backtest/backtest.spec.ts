import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataType, GraphBuilder, encodeModel, float32, int64 } from '@drover/onnx';
import { asyncProperty, assert, integer, record } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UnusableDataError } from '../errors.ts';
import { FAMILIES } from '../families.ts';
import { seededRandom } from '../random.ts';
import type { BacktestDetector } from './backtest-detector.ts';
import { backtestFile } from './backtest-file.ts';
import type { FileBacktest } from './backtest-file.ts';
import { ScoreLines } from './score-lines.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-backtest-'));
});
afterAll(() => rm(folder, { recursive: true }));

const CHANNELS = ['a', 'b', 'c'];

interface Machine {
  readonly rows: number;
  readonly seed: number;
  readonly stepMs: number;
  /** Duplicates, steps back, gaps, values that are missing. */
  readonly untidy: boolean;
}

/** Lines of a recording, `;` between columns, with an offset from a row on and labels that say so. */
function lines({ rows, seed, stepMs, untidy }: Machine, faultFrom = Infinity): string[] {
  const random = seededRandom(seed);
  let timeMs = Date.UTC(2026, 0, 1);
  const list = ['when;a;anomaly;b;c;changepoint'];
  for (let row = 0; row < rows; row += 1) {
    const dice = random();
    if (!untidy || dice < 0.9) timeMs += stepMs;
    else if (dice < 0.93) timeMs -= stepMs;
    else if (dice < 0.935) timeMs += 500 * stepMs;
    const a = Math.sin(row / 9) + 0.1 * random();
    const fault = row >= faultFrom ? 3 : 0;
    const b = untidy && random() < 0.02 ? '' : (2 * a + 0.1 * random() + fault).toFixed(5);
    const time = `${new Date(timeMs).toISOString().slice(0, -1).replace('T', ' ')}000`;
    list.push(`${time};${a};${fault > 0 ? 1 : 0};${b};${50 + random()};0`);
  }
  return list;
}

async function scores(
  list: readonly string[],
  options: Partial<FileBacktest>,
): Promise<{ text: string; rows: string[][] }> {
  const path = join(folder, 'input.csv');
  await writeFile(path, list.join('\n'));
  let text = '';
  let telling: ScoreLines | undefined;
  await backtestFile({
    path,
    detector: { family: { name: 'pca' }, seed: 1, window: 4, rows: 120 },
    sink: ({ channels, detector }) => {
      telling = new ScoreLines(channels, detector?.signature ?? null);
      text += telling.header;
      return telling;
    },
    drain: async () => void (text += telling!.take()),
    ...options,
  });
  return {
    text,
    rows: text
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(',')),
  };
}

/** Score: how much the newest sample differs from a level that follows it; the level is state. */
function followingDetector(rateHz: number, stateReset: 'never' | 'gap'): BacktestDetector {
  const graph = new GraphBuilder('following');
  const window = graph.input('window', DataType.FLOAT, [1, 2, 3]);
  const level = graph.input('state.level', DataType.FLOAT, [1, 3]);
  const last = graph.node('Gather', [window, graph.initializer('newest', int64(1))], { axis: 1 });
  const difference = graph.node('Sub', [last, level]);
  const sum = graph.node('Add', [level, last]);
  graph.node('Mul', [sum, graph.initializer('half', float32(0.5))], {}, { outputs: ['state.level.next'] });
  graph.node('Abs', [difference], {}, { outputs: ['contributions'] });
  graph.node('ReduceMax', ['contributions'], { axes: [1], keepdims: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, [1, 1]);
  graph.output('contributions', DataType.FLOAT, [1, 3]);
  graph.output('state.level.next', DataType.FLOAT, [1, 3]);
  return {
    family: 'following',
    model: encodeModel(graph.build()),
    signature: {
      channels: CHANNELS.map((name) => ({ name, kind: 'numeric', resampling: 'mean' })),
      rateHz,
      window: 2,
      stride: 1,
      warmup: 3,
      maxGapMs: 20_000,
      stateReset,
    },
    policy: { kind: 'threshold', threshold: 1, releaseRatio: 0.5, minLength: 1 },
  };
}

describe('a backtest', () => {
  it('gives a line for every row, with the time as it is in the file, and finds what the model does not know', async () => {
    const list = lines({ rows: 400, seed: 1, stepMs: 1_000, untidy: false }, 300);
    const { text, rows } = await scores(list, {});
    expect(text.split('\n')[0]).toBe('timestamp,score,threshold,anomaly,contribution_a,contribution_b,contribution_c');
    expect(rows).toHaveLength(400);
    expect(rows.map(([time]) => time)).toEqual(list.slice(1).map((line) => line.split(';')[0]));
    for (const row of rows.slice(0, 120)) expect(row.slice(1)).toEqual(['', '', '0', '', '', '']);
    for (const [, score, threshold, anomaly, ...contributions] of rows.slice(120)) {
      expect(Number(score)).toBeGreaterThanOrEqual(0);
      expect(Number(threshold)).toBeGreaterThan(0);
      expect(['0', '1']).toContain(anomaly);
      expect(contributions.every((value) => value !== '' && Number.isFinite(Number(value)))).toBe(true);
    }
    expect(rows.slice(120, 290).filter(([, , , anomaly]) => anomaly === '1').length).toBeLessThan(20);
    expect(rows.slice(310).every(([, , , anomaly]) => anomaly === '1')).toBe(true);
  });

  const families = Object.keys(FAMILIES).filter((name) => ['pca', 'mahalanobis', 'adaptive', 'value'].includes(name));
  for (const family of families) {
    it(`says the same of the first rows when the file is cut after them, trained as ${family}`, async () => {
      const any = record({ seed: integer({ min: 1, max: 1_000 }), cut: integer({ min: 1, max: 300 }) });
      await assert(
        asyncProperty(any, async ({ seed, cut }) => {
          const list = lines({ rows: 300, seed, stepMs: 1_000, untidy: true }, 220);
          const detector = { family: { name: family }, seed: 1, rows: 120 };
          const whole = await scores(list, { detector });
          const part = await scores(list.slice(0, cut + 1), { detector });
          expect(part.text).toBe(
            `${whole.text
              .split('\n')
              .slice(0, cut + 1)
              .join('\n')}\n`,
          );
        }),
        { numRuns: 12 },
      );
    });
  }

  it('says the same when a file is cut, with state, warm-up, gaps and rows thinned out', async () => {
    const any = record({ seed: integer({ min: 1, max: 1_000 }), cut: integer({ min: 1, max: 300 }) });
    for (const stateReset of ['never', 'gap'] as const) {
      const options = { detector: followingDetector(1, stateReset), sourceRateHz: 5 };
      await assert(
        asyncProperty(any, async ({ seed, cut }) => {
          const list = lines({ rows: 300, seed, stepMs: 200, untidy: true }, 150);
          const whole = await scores(list, options);
          const part = await scores(list.slice(0, cut + 1), options);
          expect(part.text).toBe(
            `${whole.text
              .split('\n')
              .slice(0, cut + 1)
              .join('\n')}\n`,
          );
          expect(whole.rows).toHaveLength(300);
        }),
        { numRuns: 20 },
      );
    }
  });

  it('lets the last decision stand between windows, and nothing after a gap', async () => {
    const list = lines({ rows: 200, seed: 3, stepMs: 200, untidy: false });
    // 40 s without a sample, before row 150: the model calls more than 20 s a gap.
    const late = list.map((line, i) => (i < 150 ? line : line.replace('2026-01-01 00:00', '2026-01-01 00:01')));
    const { rows } = await scores(late, { detector: followingDetector(1, 'gap'), sourceRateHz: 5 });
    const firstScored = rows.findIndex(([, score]) => score !== '');
    // Two samples of a second for the window, three more for the warm-up.
    expect(firstScored).toBeGreaterThanOrEqual(20);
    expect(firstScored).toBeLessThanOrEqual(25);
    expect(rows.slice(firstScored, 148).every(([, score]) => score !== '')).toBe(true);
    const changes = rows.slice(firstScored + 5, 140).filter(([, score], i, all) => i > 0 && score !== all[i - 1]![1]);
    expect(changes.length).toBeGreaterThan(20);
    expect(changes.length).toBeLessThan(28);
    expect(rows.slice(155, 165).every(([, score, , anomaly]) => score === '' && anomaly === '0')).toBe(true);
    expect(rows.at(-1)![1]).not.toBe('');
  });

  it('never lets a label reach training or the model', async () => {
    const list = lines({ rows: 300, seed: 5, stepMs: 1_000, untidy: false }, 200);
    const swapped = list.map((line, i) => {
      if (i === 0) return line;
      const cells = line.split(';');
      return [cells[0], cells[1], i % 2, cells[3], cells[4], i % 3].join(';');
    });
    const plain = await scores(list, {});
    expect(plain.text.split('\n')[0]).not.toMatch(/anomaly,.*(anomaly|changepoint)/);
    expect((await scores(swapped, {})).text).toBe(plain.text);
    const renamed = list.map((line, i) => (i === 0 ? line.replace('anomaly', 'fault') : line));
    expect((await scores(renamed, { reading: { labels: ['fault'] } })).text).toBe(plain.text);
  });

  it('scores nearly every row of a series whose steps are irregular', async () => {
    const random = seededRandom(9);
    let time = 1_700_000_000;
    const list = ['timestamp,value'];
    for (let row = 0; row < 600; row += 1) {
      time += Math.round(random() < 0.2 ? -30 * random() : 4_000 * random() ** 4);
      list.push(`${time},${Math.sin(row / 5) + random() / 5}`);
    }
    const { rows } = await scores(list, {});
    expect(rows.slice(120).filter(([, score]) => score === '').length).toBe(0);
  });

  it('leaves out channels without a value in the rows that it is trained on, and says so of none at all', async () => {
    const list = lines({ rows: 300, seed: 7, stepMs: 1_000, untidy: false });
    const without = (columns: readonly number[]): string[] =>
      list.map((line, i) => {
        const cells = line.split(';');
        if (i > 0 && i < 200) for (const column of columns) cells[column] = '';
        return cells.join(';');
      });
    const { text, rows } = await scores(without([1]), {});
    expect(text.split('\n')[0]).toBe('timestamp,score,threshold,anomaly,contribution_a,contribution_b,contribution_c');
    expect(rows.slice(120).every(([, score, , , a]) => score !== '' && a === '0')).toBe(true);
    await expect(scores(without([1, 3, 4]), {})).rejects.toThrow(UnusableDataError);
  });

  it('stops when it is told to', async () => {
    const list = lines({ rows: 300, seed: 1, stepMs: 1_000, untidy: false });
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(scores(list, { signal })).rejects.toThrow('enough');
  });
});
