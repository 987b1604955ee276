import { newId } from '@drover/runtime';
import type { BenchOptions, BenchResult, Measure } from './harness/bench.ts';
import { serveBareAedes } from './ingest/bare-aedes.ts';
import { readCommitted, readSettings } from './ingest/committed.ts';
import type { GeneratorReport } from './ingest/generator-messages.ts';
import { runLoad } from './ingest/load.ts';
import { serveFleet } from './ingest/served-fleet.ts';

export const name = 'ingest';
export const summary =
  'devices over mutual TLS, one sample per message, QoS 1, committed before acknowledged; against a bare aedes over TCP';

const DEVICES = 50;
/** Messages that each device keeps unacknowledged. */
const IN_FLIGHT = 10;
/** Drover and the peer in turns, so that a machine that slows down or speeds up does so for both; the median counts. */
const ROUNDS = 3;
const DROVER_ROUND = { inFlight: IN_FLIGHT, warmUpMs: 800, measureMs: 2_000 };
const PEER_ROUND = { inFlight: IN_FLIGHT, warmUpMs: 600, measureMs: 1_200 };

const LEAST_RATE = 20_000;
const LEAST_RATIO = 0.35;

export async function run({ say }: BenchOptions): Promise<BenchResult> {
  say('starting a control plane and enrolling devices');
  await using fleet = await serveFleet(DEVICES, process.env['BENCH_NODE_OPTIONS']);
  await using aedes = await serveBareAedes(DEVICES);
  const drover: GeneratorReport[] = [];
  const peer: GeneratorReport[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    peer.push(await runLoad({ ...PEER_ROUND, ...aedes }));
    // Numbers begin anew with every boot.
    const devices = fleet.devices.map((device) => ({ ...device, bootId: newId() }));
    drover.push(await runLoad({ ...DROVER_ROUND, target: fleet.target, devices }));
    const rates = `Drover ${Math.round(drover.at(-1)!.rate)}/s, bare aedes ${Math.round(peer.at(-1)!.rate)}/s`;
    say(`round ${round} of ${ROUNDS}: ${rates}`);
  }
  say('looking for every acknowledged message in the database');
  const committed = await readCommitted(fleet.connectionString, drover);
  const settings = await readSettings(fleet.connectionString);
  return {
    measures: [...speed(drover, peer), exactness(drover, committed)],
    settings: {
      devices: DEVICES,
      inFlight: IN_FLIGHT,
      payloadBytes: drover[0]!.payloadBytes,
      generatorCores: Math.round(medianOf(drover, (report) => report.cores) * 100) / 100,
      ...settings,
    },
  };
}

function speed(drover: readonly GeneratorReport[], peer: readonly GeneratorReport[]): Measure[] {
  const rate = medianOf(drover, (report) => report.rate);
  const ratio = median(drover.map((report, round) => report.rate / peer[round]!.rate));
  return [
    {
      metric: 'acknowledged messages',
      value: rate,
      unit: '/s',
      goal: `>= ${LEAST_RATE.toLocaleString('en-US')}`,
      ok: rate >= LEAST_RATE,
    },
    {
      metric: 'against bare aedes',
      value: rate,
      unit: '/s',
      peer: { name: 'aedes', value: medianOf(peer, (report) => report.rate) },
      ratio,
      goal: `ratio >= ${LEAST_RATIO}`,
      ok: ratio >= LEAST_RATIO,
    },
    latency('p50 to acknowledgement', drover, peer, (report) => report.p50Ms),
    latency('p99 to acknowledgement', drover, peer, (report) => report.p99Ms),
  ];
}

function latency(
  metric: string,
  drover: readonly GeneratorReport[],
  peer: readonly GeneratorReport[],
  of: (report: GeneratorReport) => number,
): Measure {
  const value = medianOf(drover, of);
  const other = medianOf(peer, of);
  return { metric, value, unit: 'ms', peer: { name: 'ms aedes', value: other }, ratio: value / other };
}

function exactness(drover: readonly GeneratorReport[], committed: Awaited<ReturnType<typeof readCommitted>>): Measure {
  const acknowledged = drover.flatMap((report) => report.devices).reduce((sum, device) => sum + device.acknowledged, 0);
  const { messages, rows, missing, unexpected } = committed;
  return {
    metric: 'committed, distinct (device, boot, seq)',
    value: messages,
    unit: '',
    peer: { name: 'acknowledged', value: acknowledged },
    ratio: messages / acknowledged,
    goal: 'each once',
    ok: messages === acknowledged && rows === acknowledged && missing === 0 && unexpected === 0,
  };
}

function medianOf(reports: readonly GeneratorReport[], of: (report: GeneratorReport) => number): number {
  return median(reports.map((report) => of(report)));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
