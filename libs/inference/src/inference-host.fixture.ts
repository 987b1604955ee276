import { BroadcastChannel } from 'node:worker_threads';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import type { DetectorSignature } from '@drover/detection';
import { InferenceHost } from './inference-host.ts';
import type { AnomalyNews, FaultNews, InferenceHostOptions } from './inference-host.ts';
import { sampleDetector, sampleSignature } from './sample-detector.fixture.ts';
import type { SampleDetectorOptions } from './sample-detector.fixture.ts';
import type { DetectorSpec, PipelineStats } from './worker-messages.ts';

/** One host at a time with one pipeline, and what it has told: for tests of the host and its worker. */

const DEATH = 'drover-inference-death';
export const PIPE = 'pump';

export let host: InferenceHost;
export let news: AnomalyNews[];
export let faults: FaultNews[];
export let stats: PipelineStats[];
export let deaths: string[];

export async function start(options: Partial<InferenceHostOptions> = {}): Promise<void> {
  host = new InferenceHost({
    listener: {
      onAnomaly: (one) => news.push(one),
      onFault: (fault) => faults.push(fault),
      onStats: (one) => stats.push(one),
      onWorkerLost: (reason) => deaths.push(reason),
    },
    statsIntervalMs: 50,
    ...options,
  });
  await host.start();
}

export function spec(
  key: string,
  signature: DetectorSignature = sampleSignature({ window: 1 }),
  model: SampleDetectorOptions = {},
): DetectorSpec {
  return {
    key,
    model: sampleDetector({ window: signature.window, channels: signature.channels.length, ...model }),
    signature,
    policy: { kind: 'threshold', threshold: 10, releaseRatio: 1, minLength: 1 },
    providers: ['cpu'],
  };
}

export async function serve(detector: DetectorSpec): Promise<void> {
  await host.addPipeline({ name: PIPE, channels: ['a', 'b'] });
  await host.prepare(PIPE, detector);
  await host.activate(PIPE, detector.key);
}

/** The n-th sample is a spike where n is odd: each has to become an anomaly of its own. */
export function push(n: number): void {
  const value = n % 2 === 1 ? 9 : 1;
  expect(host.push(PIPE, n * 1_000, [value, value])).toBe(true);
}

export async function idle(): Promise<void> {
  await vi.waitFor(() => expect(host.queueOf(PIPE).pending).toBe(0), { timeout: 10_000 });
  // The last one taken may still be running; a snapshot is made after it.
  await host.snapshot(PIPE);
}

/** Start times of all anomalies, each counted once per id. */
export function starts(): number[] {
  const byId = new Map(news.map(({ update }) => [update.anomaly.id, update.anomaly.startedAt]));
  return [...byId.values()].map((ms) => ms / 1_000).toSorted((a, b) => a - b);
}

export function oddsBelow(end: number): number[] {
  return Array.from({ length: Math.floor(end / 2) }, (_, i) => i * 2 + 1);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Ends a worker of `mortal-worker.fixture.ts`, abruptly. */
export function kill(): void {
  const channel = new BroadcastChannel(DEATH);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- no window
  channel.postMessage('now');
  channel.close();
}

/** What was told so far is forgotten. */
export function forget(): void {
  news = [];
  faults = [];
  stats = [];
  deaths = [];
}

/** Each test of the file begins with nothing told, and its host is stopped. */
export function useInferenceHost(): void {
  beforeEach(forget);
  afterEach(() => host.stop());
}
