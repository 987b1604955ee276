import { readFile, stat } from 'node:fs/promises';
import { api } from '@drover/contracts';
import { bundledRecordings } from '@drover/recordings';
import { eventually } from '@drover/testing';
import type { AgentProcess, Testbed } from '@drover/testing';

export const SENSOR_HZ = 1_000;
const PIPELINE = 'pump';

/** An agent that has been given a model: every later start finds identity and verified release on its disk. */
export class Board {
  readonly agent: AgentProcess;
  readonly device: string;
  readonly #testbed: Testbed;

  private constructor(testbed: Testbed, agent: AgentProcess, device: string) {
    this.#testbed = testbed;
    this.agent = agent;
    this.device = device;
  }

  /** Enrols it and rolls a release of the bundled pump out to it. */
  static async make(testbed: Testbed): Promise<Board> {
    const sensor = {
      type: 'csv',
      path: bundledRecordings().faults[0]!,
      speed: SENSOR_HZ,
      loop: true,
      time: 'recorded',
    };
    const [agent, release] = await Promise.all([
      testbed.agent({ name: 'board', config: { sensors: { [PIPELINE]: sensor } } }),
      testbed.release(),
    ]);
    const device = await testbed.online(agent);
    const rollout = await testbed.rollout({
      pipeline: PIPELINE,
      release: release.id,
      target: { kind: 'devices', devices: [device] },
      waves: [{ kind: 'percent', percent: 100 }],
    });
    await testbed.waitForRollout(rollout.id, 'SUCCEEDED');
    return new Board(testbed, agent, device);
  }

  /** @returns milliseconds from before the process is started until its log tells of the first score */
  async startToFirstScore(): Promise<number> {
    const { size } = await stat(this.agent.logFile);
    const began = performance.now();
    await this.agent.start();
    await eventually(
      'the first score',
      async () => (await readFile(this.agent.logFile)).subarray(size).includes('"first score"'),
      (told) => told,
      { everyMs: 5, alsoShow: this.agent.tail },
    );
    return performance.now() - began;
  }

  /** Waits until this process has reported that it has decided on so many windows. @returns how many */
  async windows(least: number): Promise<number> {
    return eventually(
      `${least} windows`,
      async () => {
        const params = { device: this.device };
        const { reported } = await this.#testbed.client.call(api.devices.twin, { params });
        return reported?.pipelines[PIPELINE]?.latency?.count ?? 0;
      },
      (count) => count >= least,
      { everyMs: 200, alsoShow: this.agent.tail },
    );
  }
}
