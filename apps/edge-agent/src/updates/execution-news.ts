import type { DesiredPipeline, ExecutionReport } from '@drover/contracts';

/** What there is to tell of an execution; what is left out is not known or not so. */
export type ExecutionNews = Pick<ExecutionReport, 'status'> &
  Partial<Pick<ExecutionReport, 'step' | 'reason' | 'message' | 'progress' | 'variant' | 'variantDigest' | 'provider'>>;

const MAX_MESSAGE = 2_000;

/**
 * The next report of a target's execution, its sequence one above the last of the same execution.
 *
 * @returns null where no execution brought the target: a device converges quietly to what was so before
 */
export function nextReport(
  last: ExecutionReport | null,
  target: DesiredPipeline,
  news: ExecutionNews,
  at: number,
): ExecutionReport | null {
  if (target.execution === null) return null;
  return {
    execution: target.execution,
    sequence: last?.execution === target.execution ? last.sequence + 1 : 1,
    status: news.status,
    step: news.step ?? null,
    reason: news.reason ?? null,
    message: news.message?.slice(0, MAX_MESSAGE) ?? null,
    progress: news.progress ?? null,
    variant: news.variant ?? null,
    variantDigest: news.variantDigest ?? null,
    provider: news.provider ?? null,
    at,
  };
}
