import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reportedStateSchema } from '@drover/contracts';
import { TestAuthority } from '../../../libs/device-protocol/src/fixtures/test-authority.ts';
import { EXIT } from './exit-codes.ts';
import { main } from './main.ts';
import { DEVICE, PREFIX, SmallControlPlane } from './small-control-plane.fixture.ts';

/** The program, from its arguments to its exit code, in this process. */
class RunningAgent {
  readonly exit: Promise<number>;
  readonly errors: string[] = [];
  readonly #stop = new AbortController();

  constructor(args: string[], env: Record<string, string>) {
    this.exit = main({
      args,
      env: { DROVER_LOG_LEVEL: 'silent', ...env },
      signal: this.#stop.signal,
      out: () => undefined,
      err: (text) => this.errors.push(text),
    });
  }

  stop(): Promise<number> {
    this.#stop.abort();
    return this.exit;
  }
}

let plane: SmallControlPlane;
let folder: string;
let agents: RunningAgent[];

beforeEach(async () => {
  plane = new SmallControlPlane(await TestAuthority.create());
  await plane.start();
  folder = await mkdtemp(join(tmpdir(), 'drover-agent-'));
  agents = [];
  const rows = Array.from({ length: 400 }, (_, i) => {
    const value = i % 40 >= 30 ? 20 : 1;
    return `${new Date(1_600_000_000_000 + i * 1_000).toISOString()},${value},${value},0`;
  });
  await writeFile(join(folder, 'pump.csv'), ['timestamp,pressure,flow,label', ...rows].join('\n'));
  await writeFile(
    join(folder, 'agent.json'),
    JSON.stringify({
      dataDir: 'data',
      name: 'Pump room',
      tags: { site: 'north' },
      profile: 'pi-4',
      sensors: { pump: { type: 'csv', path: 'pump.csv', speed: 50, loop: true, time: 'recorded' } },
    }),
  );
});
afterEach(async () => {
  for (const agent of agents) await agent.stop();
  await plane.stop();
  await rm(folder, { recursive: true });
});

function start(env: Record<string, string> = {}, args: string[] = []): RunningAgent {
  const agent = new RunningAgent([...args, '--config', join(folder, 'agent.json')], env);
  agents.push(agent);
  return agent;
}
const withToken = (): Record<string, string> => ({ DROVER_URL: plane.url, DROVER_TOKEN: plane.token });
const soon = { timeout: 15_000 };

async function certificateOf(root: string): Promise<string> {
  return JSON.parse(await readFile(join(root, 'data', 'identity.json'), 'utf8')).certificate;
}

describe('an agent', () => {
  it('enrols, takes a release over MQTT, detects with it and tells of all of it', async () => {
    start(withToken());
    await expect.poll(() => plane.broker.statuses.get(DEVICE)?.['online'], soon).toBe(true);
    expect(plane.enrolments[0]).toMatchObject({ name: 'Pump room', tags: { site: 'north' }, pipelines: ['pump'] });
    expect(plane.enrolments[0]!.profile).toMatchObject({ simulated: true, providers: ['cpu'] });

    await plane.want({ pump: plane.publish({ release: 'one' }) });
    await expect.poll(() => plane.story.at(-1), soon).toBe('SUCCEEDED');
    await expect.poll(() => plane.events('anomaly').length, soon).toBeGreaterThan(0);
    expect(plane.events('anomaly')[0]!['anomaly']).toMatchObject({ release: 'one', variant: 'fp32', provider: 'cpu' });
    expect(plane.events('benchmark')).toHaveLength(1);

    const measurement = plane.broker.committed.find(({ topic }) => topic === `${PREFIX}/m/pump`);
    expect(measurement!.value).toMatchObject({ channels: ['pressure', 'flow'] });
    const reported = plane.broker.committed.findLast(({ topic }) => topic === `${PREFIX}/twin/reported`)!;
    expect(reportedStateSchema.parse(reported.value['reported'])).toMatchObject({
      desired: { epoch: 1, version: 1 },
      profile: { simulated: true },
      pipelines: { pump: { release: 'one', variant: 'fp32', provider: 'cpu', rollout: 'rollout-one' } },
    });
    expect(plane.broker.statuses.get(DEVICE)).toMatchObject({ desiredSeen: { epoch: 1, version: 1 } });
    for (const name of ['identity.json', 'journal.json', 'twin.json']) {
      expect((await stat(join(folder, 'data', name))).mode & 0o777).toBe(0o600);
    }
  });

  it('detects from boot with the control plane gone, and delivers once it is back', async () => {
    const first = start(withToken());
    await expect.poll(() => plane.broker.statuses.has(DEVICE), soon).toBe(true);
    await plane.want({ pump: plane.publish({ release: 'one' }) });
    await expect.poll(() => plane.story.at(-1), soon).toBe('SUCCEEDED');
    expect(await first.stop()).toBe(EXIT.ok);
    const before = plane.events('anomaly').length;
    await plane.broker.kill();

    const second = start();
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    await plane.broker.start();
    await expect.poll(() => plane.events('anomaly').length, soon).toBeGreaterThan(before);
    expect(await second.stop()).toBe(EXIT.ok);
    const deliveries = plane.broker.committed.map(
      ({ value }) => `${value['bootId']} ${value['class']} ${value['seq']}`,
    );
    expect(new Set(deliveries).size).toBe(deliveries.length);
  });

  it('refuses a forged instruction, says why, and keeps what it has', async () => {
    start(withToken());
    await expect.poll(() => plane.broker.statuses.has(DEVICE), soon).toBe(true);
    await plane.want({ pump: plane.publish({ release: 'one' }) });
    await expect.poll(() => plane.story.at(-1), soon).toBe('SUCCEEDED');
    await plane.want({ pump: plane.publish({ release: 'two', version: 2 }) }, { device: 'somebody-else' });
    await expect.poll(() => plane.story.at(-1), soon).toBe('FAILED envelope-foreign');
    expect(plane.events('execution').at(-1)!['execution'].execution).toBe('execution-two');
    await plane.want({ pump: plane.publish({ release: 'zero' }) }, { epoch: 0 });
    await expect.poll(() => plane.story.at(-1), soon).toBe('FAILED downgrade-refused');
  });

  it('renews its certificate when it is told to', async () => {
    start(withToken());
    await expect.poll(() => plane.broker.statuses.has(DEVICE), soon).toBe(true);

    const certificate = await certificateOf(folder);
    await plane.command('renew', 'c1');
    const status = () => plane.broker.committed.find(({ topic }) => topic === `${PREFIX}/cmd/renew/c1/status`);
    await expect.poll(() => status()?.value['status'], soon).toBe('SUCCEEDED');
    expect(await certificateOf(folder)).not.toBe(certificate);
    // It goes on with the new one.
    await plane.want({ pump: plane.publish({ release: 'one' }) });
    await expect.poll(() => plane.story.at(-1), soon).toBe('SUCCEEDED');
  });

  it('captures raw samples when it is told to', async () => {
    start(withToken());
    await expect.poll(() => plane.broker.statuses.has(DEVICE), soon).toBe(true);
    await plane.command('capture', 'cap1', { pipeline: 'pump', durationMs: 1_000 });
    await plane.command('capture', 'cap2', { pipeline: 'press', durationMs: 1_000 });
    const answer = (id: string) =>
      plane.broker.committed.find(({ topic }) => topic === `${PREFIX}/cmd/capture/${id}/status`)?.value;
    await expect.poll(() => answer('cap2')?.['status'], soon).toBe('REJECTED');
    await expect.poll(() => answer('cap1')?.['status'], soon).toBe('SUCCEEDED');
    const rows = Number(/^(\d+) rows$/.exec(String(answer('cap1')?.['message']))?.[1]);
    // 50 samples a second, raw.
    expect(rows).toBeGreaterThan(20);
    const sent = () =>
      plane.broker.committed
        .filter(({ topic }) => topic === `${PREFIX}/m/cap1`)
        .reduce((sum, { value }) => sum + ((value['columns'] as unknown[][] | undefined)?.[0]?.length ?? 1), 0);
    await expect.poll(sent, soon).toBe(rows);
  });

  it('erases itself when it is decommissioned, and says so ever after', async () => {
    const agent = start(withToken());
    await expect.poll(() => plane.broker.statuses.has(DEVICE), soon).toBe(true);
    await plane.command('erase', 'c1');
    expect(await agent.exit).toBe(EXIT.decommissioned);
    expect(agent.errors.join('')).toContain('decommissioned');
    const answer = plane.broker.committed.find(({ topic }) => topic === `${PREFIX}/cmd/erase/c1/status`);
    expect(answer?.value['status']).toBe('SUCCEEDED');
    const left = await readdir(join(folder, 'data'), { recursive: true });
    expect(left.toSorted()).toEqual(['artifacts', 'decommissioned.json', 'lock', 'state']);
    const next = start(withToken());
    expect(await next.exit).toBe(EXIT.decommissioned);
    expect(next.errors.join('')).toContain('--re-enrol');
    expect(await start(withToken(), ['enrol', '--re-enrol']).exit).toBe(EXIT.ok);
    expect(plane.enrolments).toHaveLength(2);
  });
});

describe('an agent that cannot start', () => {
  it('says what it needs where it is not enrolled', async () => {
    const agent = start();
    expect(await agent.exit).toBe(EXIT.config);
    expect(agent.errors.join('')).toMatch(
      /not enrolled yet and DROVER_URL and DROVER_TOKEN are not set\. Make a token/,
    );
  });

  it('says what the control plane says where it is refused', async () => {
    plane.refusal = { status: 403, detail: 'The token has expired' };
    const agent = start(withToken());
    expect(await agent.exit).toBe(EXIT.refused);
    expect(agent.errors.join('')).toContain('The token has expired');
  });

  it('gives its token to nobody but the control plane that the token names', async () => {
    const other = await TestAuthority.create('Other');
    const agent = start({ DROVER_URL: plane.url, DROVER_TOKEN: plane.token.replace(plane.authority.pin, other.pin) });
    expect(await agent.exit).toBe(EXIT.refused);
    expect(plane.enrolments).toHaveLength(0);
  });

  it('names the recording that it cannot read', async () => {
    await rm(join(folder, 'pump.csv'));
    const agent = start(withToken());
    expect(await agent.exit).toBe(EXIT.config);
    expect(agent.errors.join('')).toMatch(/sensors\.pump: .*pump\.csv/);
  });

  it('leaves the folder to the agent that has it', async () => {
    start(withToken());
    await expect.poll(() => plane.broker.statuses.has(DEVICE), soon).toBe(true);
    const second = start();
    expect(await second.exit).toBe(EXIT.dataFolder);
    expect(second.errors.join('')).toContain('Another agent');
  });
});
