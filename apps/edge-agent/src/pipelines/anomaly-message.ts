import type { Anomaly } from '@drover/contracts';
import type { AnomalyNews } from '@drover/inference';
import type { ServedRelease } from '../updates/update-records.ts';

/** An anomaly with where it comes from: the release, variant and calibration that found it. */
export function anomalyOf(news: AnomalyNews, served: ServedRelease): Anomaly {
  const { anomaly } = news.update;
  return {
    id: anomaly.id,
    revision: anomaly.revision,
    pipeline: news.pipeline,
    state: anomaly.state,
    startedAt: anomaly.startedAt,
    endedAt: anomaly.endedAt,
    peakAt: anomaly.peakAt,
    peakScore: anomaly.peakScore,
    threshold: anomaly.threshold,
    windows: anomaly.windows,
    contributions: anomaly.contributions.map(({ channel, share }) => ({ channel, share })),
    release: served.release,
    variant: served.variant,
    variantDigest: served.variantDigest,
    provider: news.provider,
    calibrationVersion: served.calibration?.version ?? null,
    rollout: served.rollout,
  };
}
