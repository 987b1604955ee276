import { randomUUID } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { RestingPlace } from './doorbell.ts';
import { InferenceWorkerFailedError, PipelineExistsError, UnknownPipelineError, toPlainError } from './errors.ts';
import { loadOnnxRuntime } from './onnx-runtime.ts';
import type { OnnxRuntime } from './onnx-runtime.ts';
import { PipelineRunner } from './pipeline-runner.ts';
import type { RunnerListener } from './pipeline-runner.ts';
import { probeProviders } from './provider-probe.ts';
import type { FromWorker, RequestName, ToWorker, WorkerData, WorkerRequests } from './worker-messages.ts';

/** The worker's thread: requests in, anomalies and figures out. Everything that decides is in `PipelineRunner`. */

if (parentPort === null) throw new InferenceWorkerFailedError('worker.ts runs only as a worker thread');
const port = parentPort;
const { runtimePackage, statsIntervalMs, doorbell } = workerData as WorkerData;

const runners = new Map<string, PipelineRunner>();
/** By the index that samples ring with. */
const doorbells: (PipelineRunner | undefined)[] = [];

let loaded: OnnxRuntime | undefined;
function runtime(): OnnxRuntime {
  return (loaded ??= loadOnnxRuntime(runtimePackage));
}

function post(message: FromWorker): void {
  port.postMessage(message);
}

const listener: RunnerListener = {
  onAnomaly: (detector, update, snapshot) => post({ type: 'anomaly', ...detector, update, snapshot }),
  onFault: ({ pipeline, key }, fault) => post({ type: 'fault', pipeline, key, fault }),
};

function runnerOf(pipeline: string): PipelineRunner {
  const runner = runners.get(pipeline);
  if (runner === undefined) throw new UnknownPipelineError(`There is no pipeline "${pipeline}"`);
  return runner;
}

/**
 * Requests under way. `close` waits for them and for the runs of all pipelines, because a thread that is terminated inside
 * of ONNX Runtime takes the whole process with it (measured: SIGABRT out of the binding).
 */
const underWay = new Set<Promise<void>>();
const life = new AbortController();

type Handlers = { [K in RequestName]: (args: WorkerRequests[K]['args']) => Promise<WorkerRequests[K]['answer']> };

const handlers: Handlers = {
  add: async ({ setup, ring, index, hold }) => {
    if (runners.has(setup.name)) throw new PipelineExistsError(`There is a pipeline "${setup.name}" already`);
    const runner = new PipelineRunner({ setup, ring, hold, runtime, newId: randomUUID, listener });
    runners.set(setup.name, runner);
    doorbells[index] = runner;
    await runner.drain();
    return null;
  },
  remove: async ({ pipeline }) => {
    const runner = runnerOf(pipeline);
    runners.delete(pipeline);
    doorbells[doorbells.indexOf(runner)] = undefined;
    await runner.stop();
    return null;
  },
  prepare: ({ pipeline, spec }) => runnerOf(pipeline).prepare(spec),
  golden: async ({ pipeline, key, vectors }) => runnerOf(pipeline).checkGolden(key, vectors),
  benchmark: async ({ pipeline, key, options }) => runnerOf(pipeline).benchmark(key, options, life.signal),
  activate: async ({ pipeline, key, state }) => runnerOf(pipeline).activate(key, state),
  discard: async ({ pipeline, key }) => {
    await runnerOf(pipeline).discard(key);
    return null;
  },
  snapshot: async ({ pipeline }) => runnerOf(pipeline).snapshot(),
  stats: async ({ pipeline }) => runnerOf(pipeline).stats(false),
  close: async () => {
    life.abort();
    clearInterval(reporting);
    const parked = [];
    for (const runner of runners.values()) {
      const snapshot = await runner.park();
      if (snapshot !== null) parked.push({ pipeline: runner.name, snapshot });
    }
    await Promise.allSettled(underWay);
    return parked;
  },
  probe: async ({ providers }) => probeProviders(runtime(), providers),
};

async function answer<K extends RequestName>(id: number, name: K, args: WorkerRequests[K]['args']): Promise<void> {
  try {
    post({ type: 'answer', id, answer: await handlers[name](args) });
  } catch (error) {
    post({ type: 'refusal', id, error: toPlainError(error) });
  }
}

port.on('message', (message: ToWorker) => {
  if (typeof message === 'number') {
    const runner = doorbells[message];
    if (runner !== undefined) void attend(runner);
    return;
  }
  restingPlace.countRequest();
  const answering = answer(message.id, message.name, message.args);
  if (message.name === 'close') return;
  underWay.add(answering);
  void answering.finally(() => {
    underWay.delete(answering);
    restSoon();
  });
});

const restingPlace = new RestingPlace(doorbell);
let restsSoon = false;
let nextReportMs = performance.now() + statsIntervalMs;

/** Rests once the event loop has done what it has to do now. */
function restSoon(): void {
  if (restsSoon || life.signal.aborted) return;
  restsSoon = true;
  setImmediate(rest);
}

/**
 * Whatever is waited for in the event loop (a request under way, a run that ends later) calls `restSoon` when it ends: the
 * thread is never blocked before.
 */
function rest(): void {
  restsSoon = false;
  if (underWay.size > 0 || life.signal.aborted) return;
  restingPlace.rest(Math.max(1, nextReportMs - performance.now()), anyBusy);
  if (!anyBusy()) return restSoon();
  for (const runner of runners.values()) if (runner.busy) void attend(runner);
}

function anyBusy(): boolean {
  for (const runner of runners.values()) if (runner.busy) return true;
  return false;
}

async function attend(runner: PipelineRunner): Promise<void> {
  await runner.drain();
  restSoon();
}

async function report(runner: PipelineRunner): Promise<void> {
  const snapshot = await runner.snapshot();
  const stats = runner.stats(true);
  if (snapshot !== null && stats !== null) post({ type: 'stats', stats, snapshot });
}

const reporting = setInterval(() => {
  nextReportMs = performance.now() + statsIntervalMs;
  for (const runner of runners.values()) void report(runner);
}, statsIntervalMs);

post({ type: 'ready' });
restSoon();
