import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DroverClient } from '@drover/client';
import { api, deviceTopics } from '@drover/contracts';
import { enrol } from '@drover/device-protocol';
import { ChildProgram, newId, silentLogger } from '@drover/runtime';
import { EmbeddedPostgres } from '../../apps/control-plane/dist/platform/database/embedded/embedded-postgres.js';
import type { GeneratorDevice, GeneratorTarget } from './generator-messages.ts';

const PROGRAM = join(import.meta.dirname, '../../apps/control-plane/bin/drover-control-plane.js');
const START_TIMEOUT_MS = 60_000;
const ENROLMENTS_AT_A_TIME = 5;

const PROFILE = {
  board: 'Load generator',
  arch: 'x64',
  cpuModel: 'none',
  cpuCores: 1,
  memoryBytes: 2 ** 30,
  providers: ['cpu'],
  os: 'none',
  agentVersion: '0.0.0',
  runtimeVersion: '0',
  simulated: true,
} as const;

/** A control plane as `npm start` runs it, with enrolled devices, on a data folder that goes with it. */
export interface ServedFleet extends AsyncDisposable {
  readonly target: GeneratorTarget;
  readonly devices: readonly GeneratorDevice[];
  readonly connectionString: string;
  readonly pid: number;
}

/** @param nodeOptions for the control plane's process, `--cpu-prof` for instance */
export async function serveFleet(deviceCount: number, nodeOptions = ''): Promise<ServedFleet> {
  const dataDir = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  // The same server with the same settings as the control plane's own, started here so that its tables can be looked into.
  const postgres = new EmbeddedPostgres({ dataDir, logger: silentLogger });
  let program: ChildProgram | undefined;
  const stop = async (): Promise<void> => {
    await program?.stop();
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    const { connectionString } = await postgres.start();
    program = controlPlane(dataDir, connectionString, nodeOptions);
    await program.start();
    const ready = await program.readLine(readyLine, START_TIMEOUT_MS);
    const client = new DroverClient({ url: ready.listeners['api']!, apiKey: ready.adminKey });
    const devices = await enrolDevices(client, ready.listeners['device-https']!, deviceCount);
    const { hostname, port } = new URL(ready.listeners['device-mqtt']!);
    const target = { host: hostname, port: Number(port) };
    return { target, devices, connectionString, pid: program.pid, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function controlPlane(dataDir: string, connectionString: string, nodeOptions: string): ChildProgram {
  return new ChildProgram({
    name: 'control plane',
    file: PROGRAM,
    args: ['--json'],
    env: {
      DROVER_DATA_DIR: dataDir,
      DATABASE_URL: connectionString,
      DROVER_HTTP_PORT: '0',
      DROVER_DEVICE_HTTPS_PORT: '0',
      DROVER_MQTT_PORT: '0',
      DROVER_EVENTS_MQTT_PORT: '0',
      DROVER_DEVICE_HOST: '127.0.0.1',
      DROVER_LOG_LEVEL: 'warn',
      ...(nodeOptions === '' ? {} : { NODE_OPTIONS: nodeOptions }),
    },
  });
}

interface Ready {
  readonly listeners: Record<string, string>;
  readonly adminKey: string;
}

function readyLine(line: string): Ready | undefined {
  return line.startsWith('{"ready":true') ? (JSON.parse(line) as Ready) : undefined;
}

/** By several at a time, as a fleet would. */
async function enrolDevices(client: DroverClient, url: string, count: number): Promise<GeneratorDevice[]> {
  const { token } = await client.call(api.enrolmentTokens.create, { body: { name: 'load', maxUses: count } });
  const numbers = Array.from({ length: count }, (_, i) => i).values();
  const workers = Array.from({ length: ENROLMENTS_AT_A_TIME }, async () => {
    const devices: GeneratorDevice[] = [];
    for (const number of numbers) devices.push(await enrolDevice(url, token, `load-${number}`));
    return devices;
  });
  return (await Promise.all(workers)).flat();
}

async function enrolDevice(url: string, token: string, name: string): Promise<GeneratorDevice> {
  const identity = await enrol({ url, token, profile: { ...PROFILE, providers: ['cpu'] }, name });
  return {
    clientId: identity.device,
    topic: deviceTopics(identity.fleet, identity.device).measurements('pump'),
    bootId: newId(),
    tls: { key: identity.privateKeyPem, cert: identity.certificate, ca: identity.authorities.join('\n') },
  };
}
