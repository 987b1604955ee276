import { buildRelease } from '@drover/factory';
import type { EvaluationRecording, Recording } from '@drover/factory';
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

async function load({ path, name }: RecordingFile): Promise<Recording> {
  const { channels, rows, values, timesMs, labels } = await loadRecording(path).catch((error: unknown) => {
    if (!(error instanceof DroverError) || error.fault !== 'caller') throw error;
    throw new RecordingError(error.code, `Recording ${name}: ${error.message.replaceAll(path, 'the file')}`, error);
  });
  return { channels, rows, values, timesMs, ...(labels ? { labels } : {}) };
}

async function recordingsOf(source: SourceData): Promise<Recording[]> {
  return source.kind === 'files' ? Promise.all(source.files.map(load)) : [source.recording];
}

await answerThread<BuildThreadRequest, BuildThreadResult, BuildThreadProgress>(
  async ({ request, training, evaluation }, onProgress) => {
    const { family, options, trainRows, window, stride, seed } = request.training!;
    const recordings = await recordingsOf(training!);
    const labelled: EvaluationRecording[] = [];
    for (const { file, fromRow } of evaluation) {
      const recording = await load(file);
      // Unlabelled ones have nothing to be measured by.
      if (!recording.labels) continue;
      labelled.push({
        recording: { ...recording, labels: recording.labels },
        ...(fromRow === undefined ? {} : { fromRow }),
      });
    }
    return buildRelease({
      recordings,
      evaluation: labelled,
      family: { name: family, options },
      ...(trainRows === undefined ? {} : { trainRows: [0, trainRows] as const }),
      ...(window === undefined ? {} : { window }),
      ...(stride === undefined ? {} : { stride }),
      seed,
      onProgress: ({ percent, phase }) => onProgress({ progress: percent / 100, phase, loss: null }),
    });
  },
);
