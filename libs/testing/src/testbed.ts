import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { api } from '@drover/contracts';
import type { BodyInputOf, Build, Dataset, Release, Rollout } from '@drover/contracts';
import { ApiProblemError } from '@drover/client';
import type { DroverClient } from '@drover/client';
import { bundledRecordings } from '@drover/recordings';
import { OperationError } from '@drover/runtime';
import { AgentProcess } from './agent-process.ts';
import type { AgentOptions } from './agent-process.ts';
import { ControlPlaneProcess } from './control-plane-process.ts';
import { eventually } from './eventually.ts';
import { processesOf } from './left-processes.ts';
import { RawDevice } from './raw-device.ts';

/** Processes were left behind by what a test started. */
export class ProcessesLeftError extends OperationError {}

/**
 * A control plane and agents as real processes in a folder of their own, everything removed at the end. `stop` fails where a process
 * is left behind.
 */
export class Testbed {
  readonly folder: string;
  readonly controlPlane: ControlPlaneProcess;
  readonly #agents: AgentProcess[] = [];
  readonly #devices: RawDevice[] = [];

  constructor(folder: string, env: Readonly<Record<string, string>>) {
    this.folder = folder;
    this.controlPlane = new ControlPlaneProcess(folder, env);
  }

  /** A running control plane. */
  static async start(env: Readonly<Record<string, string>> = {}): Promise<Testbed> {
    const folder = await mkdtemp(join(tmpdir(), 'drover-system-'));
    // PostgreSQL runs as another user where this is root's: it must be able to pass through.
    await chmod(folder, 0o711);
    const testbed = new Testbed(folder, env);
    try {
      await testbed.controlPlane.start();
    } catch (error) {
      await testbed.stop().catch(() => undefined);
      throw error;
    }
    return testbed;
  }

  get client(): DroverClient {
    return this.controlPlane.client();
  }

  async token(options: BodyInputOf<typeof api.enrolmentTokens.create> = {}, fleet?: string) {
    const client = this.controlPlane.client(fleet === undefined ? {} : { fleet });
    return client.call(api.enrolmentTokens.create, { body: { name: 'test', maxUses: 10, ...options } });
  }

  /** A started agent with a token of its own. */
  async agent(options: AgentOptions, fleet?: string): Promise<AgentProcess> {
    const { url, token } = await this.token({}, fleet);
    const agent = new AgentProcess(join(this.folder, `agent-${options.name}`), { url, token, ...options });
    this.#agents.push(agent);
    await agent.start();
    return agent;
  }

  /** A device without an agent. */
  async rawDevice(fleet?: string, pipelines?: readonly string[]): Promise<RawDevice> {
    const { url, token } = await this.token({}, fleet);
    const device = await RawDevice.enrol(url, token, pipelines);
    this.#devices.push(device);
    return device;
  }

  /** Waits until the agent has enrolled and is online. @returns its device id */
  async online(agent: AgentProcess, timeoutMs = 30_000): Promise<string> {
    const { device } = await eventually(
      `${agent.name} to be enrolled`,
      async () => ({ device: (await agent.identity()).device }),
      (identity) => identity.device !== '',
      { timeoutMs, alsoShow: agent.tail },
    );
    await this.waitForDevice(device, `${agent.name} to be online`, (seen) => seen.online, agent);
    return device;
  }

  waitForDevice(
    device: string,
    what: string,
    isAsWanted: (device: { readonly online: boolean; readonly tier: string }) => boolean,
    agent?: AgentProcess,
  ) {
    return eventually(what, () => this.client.call(api.devices.get, { params: { device } }), isAsWanted, {
      alsoShow: () => `${agent?.tail() ?? ''}\n${this.controlPlane.tail()}`,
    });
  }

  /**
   * Trains a release of the bundled recordings, of the quickest family, and waits until it is READY. Another `window` makes other
   * artifacts of the same recordings.
   */
  async release(
    options: { readonly model?: string; readonly fleet?: string; readonly window?: number } = {},
  ): Promise<Release> {
    const { model = 'pump', fleet, window } = options;
    const client = this.controlPlane.client(fleet === undefined ? {} : { fleet });
    const { digest } = await client.upload(await readFile(bundledRecordings().normal), 'text/csv');
    await client.call(api.models.create, { body: { id: model, name: model } }).catch(() => undefined);
    const source = { kind: 'recordings' as const, artifacts: [digest] };
    const { id } = await client.call(api.builds.create, {
      body: { model, training: { family: 'pca', source, window } },
    });
    return this.#releaseOf(await this.ended(id, client), client);
  }

  /** A dataset of one CSV file, as it is after its validation. */
  async dataset(
    name: string,
    csv: string,
    options?: BodyInputOf<typeof api.datasets.create>['options'],
  ): Promise<Dataset> {
    const { digest } = await this.client.upload(Buffer.from(csv), 'text/csv');
    const files = [{ name: `${name}.csv`, artifact: digest }];
    const body = options === undefined ? { name, files } : { name, files, options };
    return this.validated((await this.client.call(api.datasets.create, { body })).id);
  }

  /** Waits for the end of a dataset's validation. */
  validated(dataset: string): Promise<Dataset> {
    return eventually(
      `dataset ${dataset} to be validated`,
      () => this.client.call(api.datasets.get, { params: { dataset } }),
      (seen) => seen.status !== 'VALIDATING',
      { alsoShow: this.controlPlane.tail },
    );
  }

  /** Asks for a build, of a model that is made where it is not there. */
  async build(body: BodyInputOf<typeof api.builds.create>): Promise<Build> {
    await this.client
      .call(api.models.create, { body: { id: body.model, name: body.model } })
      .catch((error: unknown) => {
        if (!(error instanceof ApiProblemError) || error.problem.status !== 409) throw error;
      });
    return this.client.call(api.builds.create, { body });
  }

  /** Waits for the end of a build, whatever it is. */
  ended(build: string, client = this.client): Promise<Build> {
    return eventually(
      `build ${build} to end`,
      () => client.call(api.builds.get, { params: { build } }),
      (seen) => seen.status !== 'QUEUED' && seen.status !== 'RUNNING',
      { timeoutMs: 120_000, alsoShow: this.controlPlane.tail },
    );
  }

  /** Builds a release and waits until it is READY. */
  async built(body: BodyInputOf<typeof api.builds.create>): Promise<Release> {
    return this.#releaseOf(await this.ended((await this.build(body)).id), this.client);
  }

  async #releaseOf({ id, status, error, release }: Build, client: DroverClient): Promise<Release> {
    if (status !== 'SUCCEEDED') throw new OperationError(`build ${id} is ${status}: ${JSON.stringify(error)}`);
    return client.call(api.releases.get, { params: { release } });
  }

  async rollout(body: BodyInputOf<typeof api.rollouts.create>, fleet?: string): Promise<Rollout> {
    return this.controlPlane.client(fleet === undefined ? {} : { fleet }).call(api.rollouts.create, { body });
  }

  /** Waits until a rollout has a status. */
  waitForRollout(rollout: string, status: Rollout['status'], timeoutMs = 60_000): Promise<Rollout> {
    return eventually(
      `rollout ${rollout} to be ${status}`,
      () => this.client.call(api.rollouts.get, { params: { rollout } }),
      (seen) => seen.status === status,
      {
        timeoutMs,
        alsoShow: () => [...this.#agents.map((agent) => agent.tail()), this.controlPlane.tail()].join('\n'),
      },
    );
  }

  /**
   * Stops everything in order and removes the folder.
   *
   * @throws ProcessesLeftError; what was left is ended then, too
   */
  async stop(): Promise<void> {
    await Promise.all(this.#devices.map((device) => device.close()));
    await Promise.all(this.#agents.map((agent) => agent.stop()));
    await this.controlPlane.stop();
    const database = await this.controlPlane.databaseFolder();
    const left = [...(await processesOf(this.folder)), ...(await processesOf(database))];
    for (const { pid } of left) endProcess(pid);
    for (const folder of [database, this.folder])
      await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    if (left.length > 0)
      throw new ProcessesLeftError(`Left behind: ${left.map(({ pid, command }) => `${pid} ${command}`).join('; ')}`);
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
