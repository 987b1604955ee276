import { parentPort, workerData } from 'node:worker_threads';
import { buildRelease } from '@drover/factory';
import type { EvaluationRecording, Recording } from '@drover/factory';
import { DroverError, messageOf } from '@drover/runtime';
import { loadRecording } from '@drover/recordings';
import type { BuildMessage, BuildRequest } from './release-builder.ts';

/** A release's build, in a thread of its own: training would hold up everything else of the process. */

const port = parentPort!;

function send(message: BuildMessage): void {
  port.postMessage(message);
}

async function load(path: string): Promise<Recording> {
  const { channels, rows, values, timesMs, labels } = await loadRecording(path);
  return { channels, rows, values, timesMs, ...(labels ? { labels } : {}) };
}

async function build({ source, evaluation, options }: BuildRequest): Promise<void> {
  const recordings = source.kind === 'files' ? await Promise.all(source.paths.map(load)) : [source.recording];
  const { trainRows } = options;
  const labelled: EvaluationRecording[] = [];
  for (const { path, trainedOn } of evaluation) {
    const recording = await load(path);
    // Unlabelled ones have nothing to be measured by.
    if (!recording.labels) continue;
    labelled.push({
      recording: { ...recording, labels: recording.labels },
      // What was trained on is never measured on.
      ...(trainedOn && trainRows !== undefined ? { fromRow: trainRows } : {}),
    });
  }
  const built = await buildRelease({
    recordings,
    evaluation: labelled,
    family: {
      name: 'pca',
      options: options.explainedVariance === undefined ? {} : { explainedVariance: options.explainedVariance },
    },
    ...(trainRows === undefined ? {} : { trainRows: [0, trainRows] as const }),
    ...(options.window === undefined ? {} : { window: options.window }),
    ...(options.stride === undefined ? {} : { stride: options.stride }),
    seed: options.seed,
    onProgress: ({ percent, phase }) => send({ kind: 'progress', progress: percent / 100, phase }),
  });
  send({ kind: 'built', built });
}

try {
  await build(workerData as BuildRequest);
} catch (error) {
  const caller = error instanceof DroverError && error.fault === 'caller';
  send({
    kind: 'failed',
    code: error instanceof DroverError ? error.code : 'internal',
    message: messageOf(error),
    final: caller,
  });
}
