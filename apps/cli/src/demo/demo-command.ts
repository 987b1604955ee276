import { resolve } from 'node:path';
import { DroverClient } from '@drover/client';
import { api } from '@drover/contracts';
import { messageOf } from '@drover/runtime';
import { Command } from 'commander';
import { Demo, HOST_PIPELINE, MACHINE_PIPELINE } from './demo.ts';
import type { Board } from './demo.ts';
import { DemoPrograms } from './demo-programs.ts';
import type { AgentSpec, ControlPlaneAddress } from './demo-programs.ts';
import { bundledDemo, folderDemo } from './demo-recordings.ts';
import type { DemoRecordings } from './demo-recordings.ts';
import { formatResult } from './demo-report.ts';
import type { DemoResult } from './demo-report.ts';
import { loopLengthMs } from './demo-score.ts';

interface Flags {
  readonly once?: boolean;
  readonly json?: boolean;
  readonly data?: string;
}

const PROFILES = ['jetson-orin', 'pi-4', 'pi-zero-2'];
const HOST = 'this-machine';
/** One pass of a recording takes this long, whatever its own length. */
const PASS_MS = 20_000;
const HOST_INTERVAL_MS = 1_000;

export function demoCommand(): Command {
  return new Command('demo')
    .description('The main job in one command: a control plane and four agents in a throw-away folder')
    .option('--once', 'end by itself; exit code 0 if and only if everything worked')
    .option('--json', 'print the closing table as JSON on the last line')
    .option('--data <folder>', 'replay recordings of a folder (SKAB or NAB layout) instead of the bundled ones')
    .action(async (flags: Flags) => {
      process.exitCode = await runDemo(flags);
    });
}

/** @returns the exit code */
async function runDemo(flags: Flags): Promise<number> {
  const began = performance.now();
  const say = (text: string): void =>
    void process.stdout.write(`[${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s] ${text}\n`);
  const recordings = flags.data === undefined ? await bundledDemo() : await folderDemo(resolve(flags.data));
  const programs = new DemoPrograms();
  const stopping = new AbortController();
  const onSignal = (): void => stopping.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    const result = await Promise.race([story(flags, recordings, programs, say, stopping.signal), programs.ended]);
    return result.ok ? 0 : 1;
  } catch (error) {
    if (stopping.signal.aborted) return flags.once ? 130 : 0;
    process.stderr.write(`The demo failed: ${messageOf(error)}\n`);
    return 1;
  } finally {
    stopping.abort();
    await programs.stop();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

async function story(
  flags: Flags,
  recordings: DemoRecordings,
  programs: DemoPrograms,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<DemoResult> {
  say('Starting a control plane: embedded PostgreSQL, MQTT broker, REST API …');
  const address = await programs.start();
  say(
    `It is ready. Now four agents, as processes of their own: three simulated boards replay ${recordings.title}, one watches this machine.`,
  );
  const client = new DroverClient({ url: address.apiUrl, apiKey: address.adminKey });
  const watched = recordings.machines.flatMap((machine) => machine.replayed.map((replayed) => ({ machine, replayed })));
  const boards = watched.map((board, i): Board => ({ ...board, name: `board-${PROFILES[i]}` }));
  const token = await client.call(api.enrolmentTokens.create, { body: { name: 'demo', maxUses: boards.length + 1 } });
  for (const agent of agentsFor(boards)) await programs.startAgent(agent, token.url, token.token);
  const result = await new Demo({ client, machines: recordings.machines, boards, hostName: HOST, say, signal }).run();
  process.stdout.write(`\n${formatResult(result)}\n\n`);
  if (!flags.once) await lookAround(address, signal);
  if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  return result;
}

function agentsFor(boards: readonly Board[]): AgentSpec[] {
  const replaying = boards.map(({ name, replayed }, i): AgentSpec => {
    const speed = Math.max(1, Math.round(loopLengthMs(replayed.recording.timesMs) / PASS_MS));
    return {
      name,
      profile: PROFILES[i],
      sensors: { [MACHINE_PIPELINE]: { type: 'csv', path: replayed.path, speed, loop: true, time: 'recorded' } },
    };
  });
  return [
    ...replaying,
    { name: HOST, profile: undefined, sensors: { [HOST_PIPELINE]: { type: 'host', intervalMs: HOST_INTERVAL_MS } } },
  ];
}

async function lookAround({ apiUrl, adminKey, listeners }: ControlPlaneAddress, signal: AbortSignal): Promise<void> {
  process.stdout.write(
    [
      'Everything keeps running until Ctrl-C. Look around:',
      `  export DROVER_API_URL=${apiUrl} DROVER_API_KEY=${adminKey}`,
      '  npx drover devices list',
      '  npx drover anomalies list --limit 10',
      '  npx drover events follow',
      `  API description: ${apiUrl}/openapi.json    integrations' MQTT: ${listeners.events ?? '-'}`,
      '',
    ].join('\n'),
  );
  await new Promise<void>((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
}
