import type { BenchmarkMessage, DesiredPipeline } from '@drover/contracts';
import { InternalError } from '@drover/runtime';
import type { Clock } from '@drover/runtime';
import type { EventReporter } from '../telemetry/event-reporter.ts';
import { nextReport } from './execution-news.ts';
import type { ExecutionNews } from './execution-news.ts';
import type { UpdateJournal } from './update-journal.ts';
import type { Attempt, PipelineRecord } from './update-records.ts';

export interface AttemptLogParts {
  readonly journal: UpdateJournal;
  readonly reporter: Pick<EventReporter, 'execution' | 'benchmark' | 'log'>;
  readonly clock: Clock;
}

/** Writes down how far attempts have come, and tells of it. */
export class AttemptLog {
  readonly #parts: AttemptLogParts;

  constructor(parts: AttemptLogParts) {
    this.#parts = parts;
  }

  /** @throws InternalError where the pipeline has none */
  attempt(pipeline: string): Attempt {
    const { attempt } = this.#parts.journal.get(pipeline);
    if (attempt === null) throw new InternalError(`Pipeline ${pipeline} has no attempt to continue`);
    return attempt;
  }

  /** Journal first, then the news of it: a report that left is never taken back by a power cut. */
  async move(
    pipeline: string,
    target: DesiredPipeline,
    changes: Partial<PipelineRecord>,
    news?: ExecutionNews,
  ): Promise<void> {
    const { journal, reporter, clock } = this.#parts;
    const record = journal.get(pipeline);
    const report = news === undefined ? null : nextReport(record.report, target, news, clock.now());
    await journal.set(pipeline, { ...record, ...changes, report: report ?? record.report });
    if (report !== null) reporter.execution(report);
  }

  /** Tells what was measured of a candidate, or why it was not. */
  tellBenchmark(benchmark: Omit<BenchmarkMessage['benchmark'], 'at'>): void {
    this.#parts.reporter.benchmark({ ...benchmark, at: this.#parts.clock.now() });
  }
}
