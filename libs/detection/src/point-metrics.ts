/** Samples by what they were and what was said of them. */
export interface PointCounts {
  readonly truePositives: number;
  readonly falsePositives: number;
  readonly falseNegatives: number;
  readonly trueNegatives: number;
}

export interface PointMetrics {
  readonly f1: number;
  readonly precision: number;
  readonly recall: number;
  /** False-alarm rate, FP / (FP + TN). */
  readonly far: number;
  /** Missed-alarm rate, FN / (FN + TP). */
  readonly mar: number;
}

/**
 * Counts sample by sample, with no point adjustment.
 *
 * @param labels anything but 0 is anomalous
 * @param detected as long as `labels`; anything but 0 is an alarm
 * @param from first sample that counts (SKAB: 400, what comes before is for training)
 */
export function countPoints(labels: ArrayLike<number>, detected: ArrayLike<number>, from = 0): PointCounts {
  const counts = { truePositives: 0, falsePositives: 0, falseNegatives: 0, trueNegatives: 0 };
  for (let i = from; i < labels.length; i += 1) {
    const alarm = (detected[i] ?? 0) !== 0;
    if (labels[i] !== 0) counts[alarm ? 'truePositives' : 'falseNegatives'] += 1;
    else counts[alarm ? 'falsePositives' : 'trueNegatives'] += 1;
  }
  return counts;
}

/** Counts of several recordings as of one (SKAB pools its files this way). */
export function poolCounts(all: Iterable<PointCounts>): PointCounts {
  const pooled = { truePositives: 0, falsePositives: 0, falseNegatives: 0, trueNegatives: 0 };
  for (const counts of all) {
    pooled.truePositives += counts.truePositives;
    pooled.falsePositives += counts.falsePositives;
    pooled.falseNegatives += counts.falseNegatives;
    pooled.trueNegatives += counts.trueNegatives;
  }
  return pooled;
}

/** F1, FAR and MAR as the Skoltech Anomaly Benchmark defines them; a rate of nothing is 0. */
export function pointMetrics(counts: PointCounts): PointMetrics {
  const { truePositives: tp, falsePositives: fp, falseNegatives: fn, trueNegatives: tn } = counts;
  return {
    f1: ratio(2 * tp, 2 * tp + fp + fn),
    precision: ratio(tp, tp + fp),
    recall: ratio(tp, tp + fn),
    far: ratio(fp, fp + tn),
    mar: ratio(fn, fn + tp),
  };
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
