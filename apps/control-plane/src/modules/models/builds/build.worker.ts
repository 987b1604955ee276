import { readFile } from 'node:fs/promises';
import { buildRelease } from '@drover/factory';
import type { NamedEvaluation, NamedRecording, ReleaseSource } from '@drover/factory';
import { CallerError, DroverError } from '@drover/runtime';
import { loadRecording } from '@drover/recordings';
import { answerThread } from '../../../platform/threads/answer-thread.ts';
import type {
  BuildThreadProgress,
  BuildThreadRequest,
  BuildThreadResult,
  RecordingFile,
  SourceData,
} from './build-thread.ts';

/** A build, in a thread of its own: training would hold up everything else of the process. */

/** What is wrong with a recording is told by its name: the path of its file says nothing to who uploaded it. */
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

async function load({ path, name, digest, options }: RecordingFile): Promise<NamedRecording> {
  const { channels, rows, values, timesMs, labels } = await loadRecording(path, options).catch((error: unknown) => {
    if (!(error instanceof DroverError) || error.fault !== 'caller') throw error;
    throw new RecordingError(error.code, `Recording ${name}: ${error.message.replaceAll(path, 'the file')}`, error);
  });
  return { name, digest, channels, rows, values, timesMs, ...(labels ? { labels } : {}) };
}

async function recordingsOf(source: SourceData): Promise<NamedRecording[]> {
  if (source.kind === 'recording') return [{ ...source.recording, name: source.name }];
  const recordings: NamedRecording[] = [];
  // One after the other: each is parsed with buffers of its own.
  for (const file of source.files) recordings.push(await load(file));
  return recordings;
}

async function sourceOf({ request, training, model, calibration }: BuildThreadRequest): Promise<ReleaseSource> {
  if (request.import) {
    const { signature, policy } = request.import;
    return {
      kind: 'import',
      model: await readFile(model!),
      signature,
      ...(policy ? { policy } : {}),
      ...(calibration ? { calibration: await recordingsOf(calibration) } : {}),
    };
  }
  const { family, options, trainRows } = request.training!;
  return {
    kind: 'train',
    recordings: await recordingsOf(training!),
    family: { name: family, options },
    ...(trainRows === undefined ? {} : { trainRows }),
  };
}

async function evaluationOf({ evaluation }: BuildThreadRequest): Promise<NamedEvaluation[]> {
  const labelled: NamedEvaluation[] = [];
  for (const { file, fromRow } of evaluation) {
    const recording = await load(file);
    // Unlabelled ones have nothing to be measured by.
    if (!recording.labels) continue;
    labelled.push({
      recording: { ...recording, labels: recording.labels },
      ...(fromRow === undefined ? {} : { fromRow }),
    });
  }
  return labelled;
}

await answerThread<BuildThreadRequest, BuildThreadResult, BuildThreadProgress>(async (given, onProgress) => {
  const { training, variants, contract } = given.request;
  const source = await sourceOf(given);
  const evaluation = await evaluationOf(given);
  return buildRelease({
    source,
    evaluation,
    contract,
    ...(variants ? { variants } : {}),
    ...(training?.window === undefined ? {} : { window: training.window }),
    ...(training?.stride === undefined ? {} : { stride: training.stride }),
    ...(training === undefined ? {} : { seed: training.seed }),
    onProgress: ({ percent, phase, loss }) => onProgress({ progress: percent / 100, phase, loss: loss ?? null }),
  });
});
