import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DroverError } from '@drover/runtime';
import { InvalidUsageError, parseCommandLine } from './command-line.ts';
import { loadAgentConfig } from './load-agent-config.ts';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'drover-config-'))));
afterAll(() => rm(folder, { recursive: true }));

async function fileWith(content: unknown): Promise<string> {
  const path = join(folder, 'agent.json');
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

async function problemsOf(config: unknown, env = {}): Promise<Record<string, string>> {
  const path = await fileWith(config);
  const error: DroverError = await loadAgentConfig({ config: path }, env).then(
    () => expect.unreachable('the configuration should not be accepted'),
    (thrown) => thrown,
  );
  expect(error.code).toBe('invalid-config');
  return Object.fromEntries(error.problems.map(({ path: at, message }) => [at, message]));
}

describe('the configuration', () => {
  it('needs nothing: then the host is watched', async () => {
    const config = await loadAgentConfig({}, {});
    expect(config.sensors).toEqual({ host: { type: 'host', intervalMs: 1_000 } });
    expect(config.pipelines).toEqual({ host: { sensor: 'host' } });
    expect(config.dataDir).toBe(resolve('.drover-agent'));
    expect(config.store.maxBytes).toBe(256 * 2 ** 20);
  });

  it('comes from file, environment and command line, the later before the earlier', async () => {
    const config = await fileWith({ url: 'https://file:8443', name: 'from file', profile: 'pi-4', tags: { a: '1' } });
    const env = {
      DROVER_URL: 'https://env:8443/',
      DROVER_PROFILE: 'pi-5',
      DROVER_AGENT_TAGS: 'site=north, line=2',
      DROVER_TOKEN: '',
    };
    const loaded = await loadAgentConfig({ config, profile: 'jetson-orin' }, env);
    expect(loaded).toMatchObject({ url: 'https://env:8443', name: 'from file', profile: 'jetson-orin' });
    expect(loaded.tags).toEqual({ site: 'north', line: '2' });
    expect(loaded.token).toBeUndefined();
  });

  it('finds files beside itself, and sizes in words', async () => {
    const sensors = { pump: { type: 'csv', path: 'data/pump.csv', speed: 10, loop: true } };
    const config = await fileWith({
      dataDir: 'state',
      sensors,
      pipelines: { main: { sensor: 'pump' } },
      store: { maxBytes: '10MiB' },
    });
    const loaded = await loadAgentConfig({}, { DROVER_AGENT_CONFIG: config });
    expect(loaded.dataDir).toBe(join(folder, 'state'));
    expect(loaded.sensors['pump']).toEqual({
      type: 'csv',
      path: join(folder, 'data/pump.csv'),
      speed: 10,
      loop: true,
      time: 'now',
    });
    expect(loaded.store.maxBytes).toBe(10 * 2 ** 20);
  });

  it('names everything that is wrong with it, by the name under which it was set', async () => {
    const problems = await problemsOf(
      {
        sensors: { pump: { type: 'csv', path: 'x', speed: -1 }, odd: { type: 'telepathy' } },
        pipelines: { main: { sensor: 'nothing' } },
        tokn: 'x',
      },
      { DROVER_PROFILE: 'toaster', DROVER_URL: 'http://plain:8080' },
    );
    expect(Object.keys(problems).toSorted()).toEqual([
      '',
      'DROVER_PROFILE',
      'DROVER_URL',
      'sensors.odd.type',
      'sensors.pump.speed',
    ]);
    expect(problems['']).toContain('tokn');
    expect(problems['DROVER_PROFILE']).toContain('jetson-orin');
    expect(problems['DROVER_URL']).toContain('https://');
  });

  it('does not take a pipeline without its sensor', async () => {
    const problems = await problemsOf({ sensors: { host: { type: 'host' } }, pipelines: { main: { sensor: 'pump' } } });
    expect(problems['pipelines.main.sensor']).toContain('"pump" is none of host');
  });

  it.each([
    ['{ "url": ', 'is not JSON'],
    ['[]', 'must hold one JSON object'],
  ])('that reads %j is refused', async (text, message) => {
    expect((await problemsOf(text))['']).toContain(message);
  });

  it('that is not there is refused by its path', async () => {
    await expect(loadAgentConfig({ config: join(folder, 'none.json') }, {})).rejects.toThrow(
      /none\.json.*cannot be read/s,
    );
  });
});

describe('the command line', () => {
  it('runs the agent unless it says otherwise', () => {
    expect(parseCommandLine(['--profile', 'pi-4'])).toMatchObject({ command: 'run', config: { profile: 'pi-4' } });
    expect(parseCommandLine(['enrol', '--re-enrol'])).toMatchObject({ command: 'enrol', again: true });
    expect(parseCommandLine(['--help'])).toEqual({ command: 'help' });
    expect(parseCommandLine(['--version'])).toEqual({ command: 'version' });
  });

  it.each([[['--frofile', 'x']], [['dance']], [['run', 'enrol']], [['--re-enrol']]])('does not guess at %j', (args) => {
    expect(() => parseCommandLine(args)).toThrow(InvalidUsageError);
  });
});
