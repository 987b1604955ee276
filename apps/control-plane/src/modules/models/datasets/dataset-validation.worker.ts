import type { DatasetReport, RecordingReadOptions } from '@drover/contracts';
import { inspectRecordings } from '@drover/recordings';
import { answerThread } from '../../../platform/threads/answer-thread.ts';

/** The validation of a dataset, in a thread of its own: millions of rows are parsed. */

/** What the thread is given. Plain data. */
export interface ValidationRequest {
  readonly files: readonly { readonly name: string; readonly path: string }[];
  readonly options: RecordingReadOptions;
}

await answerThread<ValidationRequest, DatasetReport>(
  async ({ files, options }) => (await inspectRecordings(files, options)) as DatasetReport,
);
