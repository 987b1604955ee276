import type { ReportedPipeline, ReportedState } from '@drover/contracts';
import type { KnownTwin } from './reported-twin.repository.ts';

/** Whether a report is newer than the stored one: by boot, then by number. A device without a twin takes none. */
export function isNewer(
  report: { readonly boot: number; readonly seq: number },
  known: KnownTwin | undefined,
): boolean {
  if (known === undefined) return false;
  if (known.boot === null || known.seq === null) return true;
  return report.boot === known.boot ? BigInt(report.seq) > known.seq : report.boot > known.boot;
}

/**
 * What is worth an event in a report. Latencies and counts change with every report; a desired state that was taken and a
 * pipeline that runs something else are what others wait for.
 *
 * @returns the event's data, or null where there is no news
 */
export function newsOf(known: KnownTwin, reported: ReportedState): Record<string, unknown> | null {
  const pipelines = Object.keys({ ...known.reported?.pipelines, ...reported.pipelines }).filter((name) => {
    const before = runs(known.reported?.pipelines[name]);
    const after = runs(reported.pipelines[name]);
    return before !== after;
  });
  const { epoch, version } = reported.desired;
  const seen = epoch !== known.seenEpoch || version !== known.seenVersion;
  if (known.reported !== null && !seen && pipelines.length === 0) return null;
  return {
    epoch,
    version,
    pipelines: Object.fromEntries(
      pipelines.map((name) => {
        const { release = null, variant = null, provider = null } = reported.pipelines[name] ?? {};
        return [name, { release, variant, provider }];
      }),
    ),
  };
}

/** What a pipeline runs, or null where it runs nothing. */
function runs(pipeline: ReportedPipeline | undefined): string | null {
  return pipeline?.release ? `${pipeline.release} ${pipeline.variantDigest}` : null;
}
