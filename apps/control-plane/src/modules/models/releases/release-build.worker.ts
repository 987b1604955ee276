import { parentPort, workerData } from 'node:worker_threads';
import { buildRelease } from '@drover/factory';
import type { EvaluationRecording, Recording } from '@drover/factory';
import { CallerError, DroverError, messageOf } from '@drover/runtime';
import { loadRecording } from '@drover/recordings';
import type { BuildMessage, BuildRequest, RecordingFile } from './release-builder.ts';

/** A release's build, in a thread of its own: training would hold up everything else of the process. */

const port = parentPort!;

function send(message: BuildMessage): void {
  port.postMessage(message);
}

/** What is wrong with a recording is told by its digest: the path of its file says nothing to who uploaded it. */
class RecordingError extends CallerError {
  readonly #code: string;

  constructor(code: string, message: string, cause: unknown) {
    super(message, { cause });
    this.#code = code;
  }

  override get code(): string {
    return this.#code;
  }
}

async function load({ path, digest }: RecordingFile): Promise<Recording> {
  const { channels, rows, values, timesMs, labels } = await loadRecording(path).catch((error: unknown) => {
    if (!(error instanceof DroverError) || error.fault !== 'caller') throw error;
    throw new RecordingError(error.code, `Recording ${digest}: ${error.message.replaceAll(path, 'the file')}`, error);
  });
  return { channels, rows, values, timesMs, ...(labels ? { labels } : {}) };
}

async function build({ source, evaluation, options }: BuildRequest): Promise<void> {
  const recordings = source.kind === 'files' ? await Promise.all(source.files.map(load)) : [source.recording];
  const { trainRows } = options;
  const labelled: EvaluationRecording[] = [];
  for (const { file, trainedOn } of evaluation) {
    const recording = await load(file);
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
