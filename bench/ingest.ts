import { join } from 'node:path';
import { ChildProgram, newId } from '@drover/runtime';
import type { BenchOptions, BenchResult } from './harness/bench.ts';
import { readCommitted, readSettings } from './ingest/committed.ts';
import type { GeneratorDevice, GeneratorReport } from './ingest/generator-messages.ts';
import { runLoad } from './ingest/load.ts';
import { serveFleet } from './ingest/served-fleet.ts';

export const name = 'ingest';
export const summary =
  'devices over mutual TLS, one sample per message, QoS 1, committed before acknowledged; against a bare aedes over TCP';

const DEVICES = 50;
const IN_FLIGHT = 10;
const LOAD = { inFlight: IN_FLIGHT, warmUpMs: 1_500 };
const MEASURE_MS = 6_000;
/** Before and after, so that a machine that slows down or speeds up counts for both. */
const PEER_MEASURE_MS = 2_000;

const LEAST_RATE = 20_000;
const LEAST_RATIO = 0.35;

export async function run({ say }: BenchOptions): Promise<BenchResult> {
  say('starting a control plane and enrolling devices');
  await using fleet = await serveFleet(DEVICES, process.env['BENCH_NODE_OPTIONS']);
  say('bare aedes');
  const before = await measurePeer();
  say('Drover');
  const drover = await runLoad({ ...LOAD, target: fleet.target, devices: fleet.devices, measureMs: MEASURE_MS });
  say('bare aedes again');
  const after = await measurePeer();
  say('looking for every acknowledged message in the database');
  const committed = await readCommitted(fleet.connectionString, drover);
  const settings = await readSettings(fleet.connectionString);

  const peer = (before.rate + after.rate) / 2;
  const ratio = drover.rate / peer;
  const acknowledged = drover.devices.reduce((sum, device) => sum + device.acknowledged, 0);
  const exact = committed.missing === 0 && committed.unexpected === 0;
  return {
    measures: [
      {
        metric: 'acknowledged messages',
        value: drover.rate,
        unit: '/s',
        goal: `>= ${LEAST_RATE.toLocaleString('en-US')}`,
        ok: drover.rate >= LEAST_RATE,
      },
      {
        metric: 'against bare aedes',
        value: drover.rate,
        unit: '/s',
        peer: { name: 'aedes', value: peer },
        ratio,
        goal: `ratio >= ${LEAST_RATIO}`,
        ok: ratio >= LEAST_RATIO,
      },
      latency('p50 to acknowledgement', drover.p50Ms, (before.p50Ms + after.p50Ms) / 2),
      latency('p99 to acknowledgement', drover.p99Ms, (before.p99Ms + after.p99Ms) / 2),
      {
        metric: 'committed, distinct (device, boot, seq)',
        value: committed.messages,
        unit: '',
        peer: { name: 'acknowledged', value: acknowledged },
        ratio: committed.messages / acknowledged,
        goal: 'each once',
        ok: exact && committed.messages === acknowledged && committed.rows === acknowledged,
      },
    ],
    settings: {
      devices: DEVICES,
      inFlight: IN_FLIGHT,
      payloadBytes: drover.payloadBytes,
      generatorCores: Math.round(drover.cores * 100) / 100,
      ...settings,
    },
  };
}

/** The same load on a broker that keeps nothing. */
async function measurePeer(): Promise<GeneratorReport> {
  const broker = new ChildProgram({ name: 'bare aedes', file: join(import.meta.dirname, 'ingest/bare-broker.ts') });
  await broker.start();
  try {
    const { port } = await broker.readLine((line) => JSON.parse(line) as { port: number }, 10_000);
    const devices = Array.from({ length: DEVICES }, (_, i): GeneratorDevice => {
      const id = newId('dev');
      return { clientId: id, topic: `drover/v1/default/${id}/m/pump`, bootId: newId('', Date.now() + i) };
    });
    return await runLoad({ ...LOAD, target: { host: '127.0.0.1', port }, devices, measureMs: PEER_MEASURE_MS });
  } finally {
    await broker.stop();
  }
}

function latency(metric: string, value: number, peer: number) {
  return { metric, value, unit: 'ms', peer: { name: 'ms aedes', value: peer }, ratio: value / peer };
}
