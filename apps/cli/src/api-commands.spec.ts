import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { api } from '@drover/contracts';
import { bundledRecordings } from '@drover/recordings';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { apiCommands } from './api-commands.ts';
import { addBuildCommands, BuildNotSucceededError } from './build-commands.ts';
import { addDatasetCommands } from './dataset-commands.ts';

interface Seen {
  readonly line: string;
  readonly body: unknown;
}

/** What a command sends, and what it makes of an answer: the server here says what a test wants it to. */
let server: Server;
let seen: Seen[];
let answers: Record<string, unknown[]>;

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const line = `${request.method} ${request.url}`;
    seen.push({ line, body: await bodyOf(request) });
    const answer = (answers[line] ?? []).length > 1 ? answers[line]!.shift() : answers[line]?.[0];
    response.statusCode = answer === undefined ? 404 : 200;
    response.setHeader('content-type', answer === undefined ? 'application/problem+json' : 'application/json');
    response.end(JSON.stringify(answer ?? { type: 'about:blank', title: 'Not found', status: 404, code: 'not-found' }));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterAll(() => new Promise((done) => server.close(done)));
beforeEach(() => {
  seen = [];
  answers = {};
});

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return request.headers['content-type'] === 'application/json' ? (JSON.parse(text) as unknown) : text.length;
}

/** @returns what was written to standard output */
async function drover(group: string, ...args: string[]): Promise<string> {
  let written = '';
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
  const err = vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
  try {
    const command = apiCommands().find((one) => one.name() === group)!;
    if (group === 'builds') addBuildCommands(command);
    if (group === 'datasets') addDatasetCommands(command);
    const { port } = server.address() as AddressInfo;
    const connection = ['--url', `http://127.0.0.1:${port}`, '--key', 'k'];
    await command.exitOverride().parseAsync([...args, ...connection], { from: 'user' });
    return written;
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}

const BUILD = {
  id: 'bld_1',
  release: 'rel_1',
  status: 'RUNNING',
  progress: 0.5,
  phase: 'training',
  loss: 0.25,
  attempts: 1,
  error: null,
  request: { model: 'pump', training: { source: { kind: 'datasets', datasets: ['dat_1'] } } },
  createdAt: '2026-01-01T00:00:00.000Z',
  startedAt: null,
  endedAt: null,
};

describe('commands of the API', () => {
  it('take lists and plain values as options, and what is nested as --body', async () => {
    const flags = ['--name', 'pump', '--devices', 'dev_1', 'dev_2', '--duration-ms', '60000'];
    await expect(drover('captures', 'create', ...flags)).rejects.toThrow();
    expect(api.captures.create.body.parse(seen[0]!.body)).toEqual({
      name: 'pump',
      devices: ['dev_1', 'dev_2'],
      pipeline: 'main',
      durationMs: 60_000,
    });
    const body = JSON.stringify({ training: { source: { kind: 'datasets', datasets: ['dat_1'] } } });
    await expect(
      drover('builds', 'create', '--model', 'pump', '--variants', 'fp32', 'int8', '--body', body),
    ).rejects.toThrow();
    expect(api.builds.create.body.parse(seen[1]!.body)).toMatchObject({
      model: 'pump',
      variants: ['fp32', 'int8'],
      training: { source: { datasets: ['dat_1'] } },
    });
  });

  it('have a command for every route that is not done otherwise', () => {
    const groups = apiCommands();
    expect(groups.map((group) => group.name())).toEqual(
      expect.arrayContaining(['datasets', 'captures', 'builds', 'benchmarks']),
    );
    const releases = groups.find((group) => group.name() === 'releases')!;
    expect(releases.description()).toBe('list, get, manifest, variants, card, choices');
  });
});

describe('drover builds', () => {
  it('trains with options in the place of a body', async () => {
    const flags = [
      '--datasets',
      'dat_1',
      '--family',
      'conv',
      '--option',
      'epochs=5',
      'filters=8,4',
      '--train-rows',
      '400',
    ];
    answers['POST /api/v1/builds'] = [BUILD];
    await drover(
      'builds',
      'train',
      '--model',
      'pump',
      ...flags.filter((flag) => flag !== 'filters=8,4'),
      '--eval-datasets',
      'dat_2',
    );
    expect(api.builds.create.body.parse(seen[0]!.body)).toMatchObject({
      model: 'pump',
      training: {
        family: 'conv',
        options: { epochs: 5 },
        source: { kind: 'datasets', datasets: ['dat_1'] },
        trainRows: 400,
        seed: 1,
      },
      evaluation: { datasets: ['dat_2'], artifacts: [] },
    });
    await expect(drover('builds', 'train', '--model', 'pump')).rejects.toThrow(/either --datasets or --artifacts/);
  });

  it('tells which families there are, and sends nothing, for one that does not exist', async () => {
    const train = drover('builds', 'train', '--model', 'pump', '--datasets', 'dat_1', '--family', 'magic');
    await expect(train).rejects.toMatchObject({
      fault: 'caller',
      problems: [{ path: 'training.family', message: expect.stringContaining('"pca"') as string }],
    });
    expect(seen).toEqual([]);
  });

  it('watches until the build ends, and fails with it', async () => {
    const route = 'GET /api/v1/builds/bld_1';
    answers[route] = [
      BUILD,
      { ...BUILD, progress: 0.9 },
      { ...BUILD, status: 'SUCCEEDED', progress: 1, phase: 'succeeded' },
    ];
    expect(await drover('builds', 'watch', 'bld_1')).toContain('SUCCEEDED');
    expect(seen).toHaveLength(3);
    answers[route] = [{ ...BUILD, status: 'FAILED', error: { code: 'not-enough-data', message: 'Too short' } }];
    await expect(drover('builds', 'watch', 'bld_1')).rejects.toThrow(BuildNotSucceededError);
    await expect(drover('builds', 'watch', 'bld_1')).rejects.toThrow(/FAILED: Too short/);
  });
});

describe('drover datasets upload', () => {
  it('uploads each file, makes a dataset of them and waits for what the validation says', async () => {
    const { faults } = bundledRecordings();
    const digest = 'a'.repeat(64);
    const dataset = {
      id: 'dat_1',
      name: 'faults',
      status: 'VALIDATING',
      capture: null,
      files: [{ name: 'pump-1.csv', artifact: digest }],
      options: {},
      report: null,
      error: null,
      createdAt: '2026-01-01T00:00:00.000Z',
    };
    answers['POST /api/v1/artifacts'] = [{ digest, sizeBytes: 1, mediaType: 'text/csv', createdAt: dataset.createdAt }];
    answers['POST /api/v1/datasets'] = [dataset];
    answers['GET /api/v1/datasets/dat_1'] = [dataset, { ...dataset, status: 'READY' }];
    const upload = [
      'upload',
      faults[0]!,
      faults[1]!,
      '--name',
      'faults',
      '--labels',
      'fault,wrong',
      '--delimiter',
      'tab',
    ];
    expect(await drover('datasets', ...upload)).toContain('READY');
    expect(seen.map(({ line }) => line)).toEqual([
      'POST /api/v1/artifacts',
      'POST /api/v1/artifacts',
      'POST /api/v1/datasets',
      'GET /api/v1/datasets/dat_1',
      'GET /api/v1/datasets/dat_1',
    ]);
    expect(api.datasets.create.body.parse(seen[2]!.body)).toEqual({
      name: 'faults',
      files: [
        { name: 'pump-1.csv', artifact: digest },
        { name: 'pump-2.csv', artifact: digest },
      ],
      options: { delimiter: '\t', labels: ['fault', 'wrong'] },
    });
    const invalid = { ...dataset, status: 'INVALID', error: { code: 'invalid-dataset', message: 'No rows' } };
    answers['GET /api/v1/datasets/dat_1'] = [invalid];
    await expect(drover('datasets', ...upload)).rejects.toMatchObject({ code: 'dataset-invalid', fault: 'caller' });
  });
});
