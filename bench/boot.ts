import { Testbed, eventually } from '@drover/testing';
import { Board, SENSOR_HZ } from './boot/board.ts';
import { measureFloor, medianOf, residentBytesOf } from './boot/process-floor.ts';
import type { ProcessFloor } from './boot/process-floor.ts';
import type { BenchOptions, BenchResult, Measure } from './harness/bench.ts';

export const name = 'boot';
export const summary =
  'control plane to ready, agent to its first score, their memory; against an empty program of the same Node.js';

const RESTARTS = 3;
const WINDOWS = 3_000;

const MOST_READY_MS = 3_000;
const MOST_FIRST_SCORE_MS = 2_000;
const MOST_AGENT_MIB = 140;
const MIB = 2 ** 20;

export async function run({ say }: BenchOptions): Promise<BenchResult> {
  const floor = await measureFloor();
  say('first start of a control plane: it initialises its data folder');
  const began = performance.now();
  const testbed = await Testbed.start();
  const firstReadyMs = performance.now() - began;
  try {
    say('an agent enrols and is given a model');
    const board = await Board.make(testbed);
    const updatedBytes = await residentBytesOf(board.agent.pid);

    say('the agent starts again, connected');
    await board.agent.stop();
    const connectedMs = await board.startToFirstScore();
    const windows = await board.windows(WINDOWS);
    const agentBytes = await residentBytesOf(board.agent.pid);
    const planeBytes = await residentBytesOf(testbed.controlPlane.pid);
    await board.agent.stop();

    say('the agent starts again, the control plane is gone');
    await testbed.controlPlane.stop();
    const aloneMs = await repeated(async () => {
      const ms = await board.startToFirstScore();
      await board.agent.stop();
      return ms;
    });

    say('the control plane starts again');
    const readyMs = await repeated(async () => {
      const ms = await startToReady(testbed);
      await testbed.controlPlane.stop();
      return ms;
    });
    return {
      measures: [
        { ...start('control plane to ready', readyMs, floor), ...atMost(readyMs, MOST_READY_MS, 'ms') },
        start('control plane to ready, very first start', firstReadyMs, floor),
        {
          ...start('agent to first score, control plane gone', aloneMs, floor),
          ...atMost(aloneMs, MOST_FIRST_SCORE_MS, 'ms'),
        },
        {
          ...start('agent to first score, control plane there', connectedMs, floor),
          ...atMost(connectedMs, MOST_FIRST_SCORE_MS, 'ms'),
        },
        {
          ...memory('agent resident, model loaded, connected', agentBytes, floor),
          ...atMost(agentBytes / MIB, MOST_AGENT_MIB, 'MiB'),
        },
        {
          ...memory('agent resident, just after an update', updatedBytes, floor),
          ...atMost(updatedBytes / MIB, MOST_AGENT_MIB, 'MiB'),
        },
        memory('control plane resident', planeBytes, floor),
      ],
      settings: {
        restarts: `median of ${RESTARTS}`,
        ready: 'GET /readyz answers 200; database, broker and listeners in one process',
        windowsBeforeMemory: windows,
        model: 'pca of the bundled pump, window 16',
        sensorHz: SENSOR_HZ,
      },
    };
  } finally {
    await testbed.stop();
  }
}

async function startToReady({ controlPlane }: Testbed): Promise<number> {
  const began = performance.now();
  await controlPlane.start();
  await eventually(
    '/readyz',
    () => fetch(`${controlPlane.url}/readyz`),
    ({ status }) => status === 200,
    { everyMs: 5 },
  );
  return performance.now() - began;
}

async function repeated(measure: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < RESTARTS; i += 1) times.push(await measure());
  return medianOf(times);
}

function start(metric: string, value: number, { startMs }: ProcessFloor): Measure {
  return { metric, value, unit: 'ms', peer: { name: 'ms node -e 0', value: startMs }, ratio: value / startMs };
}

function memory(metric: string, bytes: number, { residentBytes }: ProcessFloor): Measure {
  return {
    metric,
    value: bytes / MIB,
    unit: 'MiB',
    peer: { name: 'MiB node', value: residentBytes / MIB },
    ratio: bytes / residentBytes,
  };
}

function atMost(value: number, most: number, unit: string): Pick<Measure, 'goal' | 'ok'> {
  return { goal: `<= ${most.toLocaleString('en-US')} ${unit}`, ok: value <= most };
}
