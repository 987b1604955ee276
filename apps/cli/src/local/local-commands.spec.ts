import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { modelCardSchema } from '@drover/contracts';
import { manifestDraftSchema } from '@drover/factory';
import { bundledRecordings } from '@drover/recordings';
import { InvalidInputError } from '@drover/runtime';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { backtestCommand } from './backtest-command.ts';
import { factoryCommand } from './factory-command.ts';
import { InterruptedError } from './interruption.ts';
import { InvalidReleaseError } from './release-folder.ts';
import { collectOption } from './training-flags.ts';

const { normal, faults } = bundledRecordings();
let folder: string;
let release: string;

/** Runs a command as from a terminal. @returns what it wrote to standard output */
async function drover(...args: string[]): Promise<string> {
  let written = '';
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
  const err = vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
  try {
    const [name, ...rest] = args;
    const command = name === 'backtest' ? backtestCommand() : factoryCommand();
    await command.exitOverride().parseAsync(rest, { from: 'user' });
    return written;
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}

async function linesOf(path: string): Promise<string[]> {
  return (await readFile(path, 'utf8')).trimEnd().split('\n');
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-cli-'));
  release = join(folder, 'release');
  const train = ['factory', 'train', '--family', 'pca', '--input', normal, '--eval', faults[0]!, '--output', release];
  expect(await drover(...train)).toContain('fp32');
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  process.exitCode = undefined;
});

describe('drover factory', () => {
  it('writes a release that is whole: manifest, card, and every artifact under its digest', async () => {
    const manifest = manifestDraftSchema.parse(JSON.parse(await readFile(join(release, 'manifest.json'), 'utf8')));
    const card = modelCardSchema.parse(JSON.parse(await readFile(join(release, 'card.json'), 'utf8')));
    expect(manifest.variants.map(({ name }) => name)).toEqual(['fp32', 'int8']);
    expect((await readdir(join(release, 'artifacts'))).toSorted()).toEqual(
      card.variants.map(({ digest }) => digest).toSorted(),
    );
    expect(card.data.trainedOn).toMatchObject([{ name: normal, rows: 2_000 }]);
    expect(card.variants[0]!.metrics.f1).toBeGreaterThan(0.5);
    expect(await readFile(join(release, 'card.md'), 'utf8')).toBe(await drover('factory', 'report', release));
    expect(await readdir(folder)).toEqual(['release']);
  });

  it('does not overwrite a release, and does not measure on what it trains on', async () => {
    const train = ['factory', 'train', '--family', 'pca', '--input', normal, '--output'];
    await expect(drover(...train, release)).rejects.toThrow(/exists already/);
    await expect(drover(...train, join(folder, 'x'), '--eval', normal)).rejects.toThrow(/trained on as a whole/);
    await expect(drover(...train, join(folder, 'x'), '--variants', 'int3')).rejects.toThrow(
      /no kind of variant "int3"/,
    );
  });

  it('refuses recordings of different rates', async () => {
    const slow = join(folder, 'slow.csv');
    const [header, ...rows] = await linesOf(normal);
    await writeFile(slow, [header, ...rows.filter((_, i) => i % 2 === 0)].join('\n'));
    const train = ['factory', 'train', '--family', 'pca', '--output', join(folder, 'x'), '--input'];
    await expect(drover(...train, normal, slow)).rejects.toThrow(/slow.csv has 0.5 Hz, .*pump-normal.csv has 1 Hz/);
    await rm(slow);
  });

  it('leaves nothing behind when it is interrupted', async () => {
    const path = join(folder, 'interrupted');
    const training = drover('factory', 'train', '--family', 'dense-ae', '--input', normal, '--output', path);
    const rejected = expect(training).rejects.toThrow(InterruptedError);
    await vi.waitFor(() => expect(process.listenerCount('SIGINT')).toBeGreaterThan(0));
    process.emit('SIGINT');
    await rejected;
    expect((await readdir(folder)).filter((name) => name.startsWith('interrupted'))).toEqual([]);
  });

  it('makes variants of an ONNX file, with channels, rate and window found in it and its calibration', async () => {
    const { variants } = modelCardSchema.parse(JSON.parse(await readFile(join(release, 'card.json'), 'utf8')));
    const model = join(release, 'artifacts', variants[0]!.digest);
    const output = join(folder, 'imported');
    const kinds = ['--variants', 'fp16', '--output', output, '--json'];
    const text = await drover('factory', 'compress', '--model', model, '--calibration', normal, ...kinds);
    const card = modelCardSchema.parse(JSON.parse(text));
    expect(card).toMatchObject({ family: 'imported', signature: { window: 16, rateHz: 1 } });
    expect(card.variants.map(({ name }) => name)).toEqual(['fp32', 'fp16']);
    await expect(drover('factory', 'compress', '--model', normal, '--calibration', normal, ...kinds)).rejects.toThrow();
    await rm(output, { recursive: true });
    await expect(drover('factory', 'compress', '--model', normal, ...kinds)).rejects.toThrow(/give --calibration/);
  });

  it('measures every variant on labelled recordings', async () => {
    const text = await drover('factory', 'evaluate', '--release', release, '--input', ...faults, '--json');
    const { variants } = JSON.parse(text) as { variants: { variant: string; metrics: Record<string, number> }[] };
    expect(variants.map(({ variant }) => variant)).toEqual(['fp32', 'int8']);
    for (const { metrics } of variants) {
      expect(metrics.f1).toBeGreaterThan(0.6);
      expect(metrics.vusPr).toBeGreaterThan(0.7);
      expect(metrics.eventRecall).toBeGreaterThan(0.5);
    }
    await expect(
      drover('factory', 'evaluate', '--release', release, '--input', join(folder, 'none')),
    ).rejects.toThrow();
  });

  it('inspects recordings, and exits with 2 where they could not be trained on', async () => {
    expect(await drover('factory', 'inspect', normal)).toContain('2000');
    expect(process.exitCode).toBeUndefined();
    const bad = join(folder, 'bad.csv');
    await writeFile(bad, 'time,a\n2026-01-01,1\n2026-01-02,2\n2026-01-03,x\n');
    expect(await drover('factory', 'inspect', bad)).toContain('error:');
    expect(process.exitCode).toBe(2);
    await rm(bad);
  });
});

describe('drover backtest', () => {
  it('runs a release of a folder over a recording, and sums up as JSON', async () => {
    const output = join(folder, 'scores.csv');
    const args = ['--release', release, '--variant', 'int8', '--input', faults[0]!, '--output', output, '--json'];
    const summary = JSON.parse(await drover('backtest', ...args)) as Record<string, unknown>;
    const input = await linesOf(faults[0]!);
    const scores = await linesOf(output);
    expect(scores).toHaveLength(input.length);
    expect(scores[0]).toMatch(/^timestamp,score,threshold,anomaly,contribution_/);
    expect(scores[500]!.split(',')[0]).toBe(input[500]!.split(',')[0]);
    expect(summary).toMatchObject({
      files: 1,
      rows: input.length - 1,
      inputs: [{ input: faults[0], family: 'pca (int8)' }],
    });
    expect(summary.windowsPerSecond).toBeGreaterThan(100);
    const flagged = scores.slice(1).filter((line) => line.split(',')[3] === '1').length;
    expect(flagged).toBeGreaterThan(20);
    expect(summary.flaggedShare).toBeCloseTo(flagged / (input.length - 1));
    await rm(output);
  });

  it('trains on first rows, of several inputs each for itself, and keeps folders where names are the same', async () => {
    const [a, b] = [join(folder, 'a', 'pump.csv'), join(folder, 'b', 'pump.csv')];
    for (const [i, path] of [a, b].entries()) {
      await mkdir(join(path, '..'));
      await copyFile(faults[i]!, path);
    }
    const output = join(folder, 'out');
    const train = ['--family', 'pca', '--train-fraction', '0.5', '--train-max', '250'];
    const text = await drover('backtest', ...train, '--input', a, b, '--output-dir', output);
    expect(text).toContain('250');
    for (const name of ['a', 'b']) {
      const scores = await linesOf(join(output, name, 'pump.csv'));
      const empty = `,,,0${','.repeat(scores[0]!.split(',').length - 4)}`;
      expect(scores.slice(1, 251).every((line) => line.endsWith(empty))).toBe(true);
      expect(scores.slice(251).some((line) => line.endsWith(empty))).toBe(false);
    }
    await Promise.all(['a', 'b', 'out'].map((name) => rm(join(folder, name), { recursive: true })));
  });

  it('goes on with the other inputs where one cannot be used, and says which', async () => {
    const flat = join(folder, 'flat.csv');
    const rows = Array.from({ length: 400 }, (_, i) => `${1_767_225_600 + i},7`);
    await writeFile(flat, ['time,a', ...rows].join('\n'));
    const output = join(folder, 'out');
    const train = ['--family', 'pca', '--train-rows', '300', '--output-dir', output];
    await expect(drover('backtest', ...train, '--input', flat, faults[0]!)).rejects.toMatchObject({
      code: 'unusable-input',
      problems: [{ path: flat }],
    });
    expect(await readdir(output)).toEqual([basename(faults[0]!)]);
    await Promise.all([rm(output, { recursive: true }), rm(flat)]);
  });

  it('refuses to write over a recording, by whatever name it is reached', async () => {
    const recording = join(folder, 'own', 'pump.csv');
    await mkdir(join(recording, '..'));
    await copyFile(faults[0]!, recording);
    const partial = join(folder, 'own', 'scores.csv.part');
    await copyFile(faults[0]!, partial);
    await symlink(join(folder, 'own'), join(folder, 'link'));
    await symlink(recording, join(folder, 'own', 'link.csv'));
    const before = await readFile(recording);
    const train = ['--family', 'pca', '--train-rows', '250', '--input'];
    for (const args of [
      [recording, '--output', recording],
      [recording, '--output', join(folder, 'link', 'pump.csv')],
      [recording, '--output', join(folder, 'own', 'link.csv')],
      [recording, '--output-dir', join(folder, 'own')],
      [recording, '--output-dir', join(folder, 'link')],
      [partial, '--output', join(folder, 'own', 'scores.csv')],
    ]) {
      await expect(drover('backtest', ...train, ...args)).rejects.toThrow(/is an input and would be overwritten/);
    }
    expect((await readFile(recording)).equals(before)).toBe(true);
    expect((await readFile(partial)).equals(before)).toBe(true);
    await Promise.all([rm(join(folder, 'own'), { recursive: true }), rm(join(folder, 'link'))]);
  });

  it('refuses an artifact that is not what the manifest names', async () => {
    const broken = join(folder, 'broken');
    await mkdir(join(broken, 'artifacts'), { recursive: true });
    await copyFile(join(release, 'manifest.json'), join(broken, 'manifest.json'));
    for (const name of await readdir(join(release, 'artifacts'))) {
      const bytes = await readFile(join(release, 'artifacts', name));
      bytes[bytes.length - 1]! ^= 1;
      await writeFile(join(broken, 'artifacts', name), bytes);
    }
    await expect(drover('backtest', '--release', broken, '--input', normal)).rejects.toThrow(InvalidReleaseError);
    await rm(broken, { recursive: true });
  });

  it.each<[string, string[]]>([
    ['no model', []],
    ['two models', ['--release', 'x', '--train-rows', '10']],
    ['a share of more than all', ['--train-fraction', '1.5']],
    ['a limit of nothing', ['--train-rows', '10', '--train-max', '5']],
    ['no rows', ['--train-rows', '0']],
    ['a number that is none', ['--train-rows', 'many']],
    ['windows of nothing', ['--train-rows', '100', '--window', '0']],
    ['steps of nothing', ['--train-rows', '100', '--stride', '0']],
    ['a seed that is none', ['--train-rows', '100', '--seed', '99999999999']],
    ['two outputs', ['--train-rows', '10', '--output', 'a', '--output-dir', 'b']],
    ['one output for two inputs', ['--train-rows', '10', '--output', 'a', '--input', 'x.csv', 'y.csv']],
    ['scores and summary in one place', ['--train-rows', '10', '--output', '-', '--json']],
    ['a release that is not there', ['--release', './nowhere']],
    ['a hyperparameter without a value', ['--train-rows', '10', '--option', 'epochs']],
  ])('refuses %s', async (_, args) => {
    await expect(drover('backtest', '--input', normal, ...args)).rejects.toThrow(InvalidInputError);
  });
});

describe('--option', () => {
  it.each<[string, unknown]>([
    ['epochs=20', 20],
    ['rate=-1.5e-3', -0.0015],
    ['tied=true', true],
    ['hidden=64,8,64', [64, 8, 64]],
    ['mode=fast', 'fast'],
    ['mode=', ''],
    ['name=a=b', 'a=b'],
  ])('reads %s', (text, value) => {
    expect(collectOption(text, { before: 1 })).toEqual({ before: 1, [text.split('=')[0]!]: value });
  });
});
