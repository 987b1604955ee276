import type { TrainedDetector } from './detector.ts';
import { largestPcaWindow, trainPca } from './pca/train-pca.ts';
import type { PcaOptions } from './pca/train-pca.ts';
import type { WindowSet } from './window-set.ts';

/** A model family and its hyperparameters; what is left out is the family's default. */
export interface FamilySpec {
  readonly name: 'pca';
  readonly options?: Partial<PcaOptions>;
}

/** The window that a family uses where none is asked for, in samples. */
export function defaultWindowOf(family: FamilySpec, channels: number): number {
  switch (family.name) {
    case 'pca':
      return largestPcaWindow(channels);
  }
}

/** @param windows normal operation, in the order of time */
export function trainFamily(family: FamilySpec, windows: WindowSet): TrainedDetector {
  switch (family.name) {
    case 'pca':
      return trainPca(windows, family.options);
  }
}
