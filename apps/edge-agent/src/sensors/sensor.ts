import { CallerError, OperationError } from '@drover/runtime';

/** One reading of every channel of a sensor. A missing value is NaN. */
export interface Sample {
  /** Milliseconds since the Unix epoch. */
  readonly timeMs: number;
  /** One value per channel, in the order of `SensorInfo.channels`. The receiver owns it: a sensor never writes to it again. */
  readonly values: Float32Array;
}

/** What a sensor delivers. */
export interface SensorInfo {
  /** Names of the values in a sample, in their order. */
  readonly channels: readonly string[];
  /** Samples per second of sample time, null where nothing is known of it. */
  readonly rateHz: number | null;
}

/** A source of samples. New kinds of sensor implement this and a section of the configuration, nothing else. */
export interface Sensor {
  /**
   * Finds out what there is to read; the channels are fixed from then on.
   *
   * @throws SensorUnreadableError where there is nothing as it was configured
   */
  open(): Promise<SensorInfo>;
  /**
   * Calls `onSample` for each sample until the signal aborts, or until a recording that does not loop ends.
   *
   * @throws SensorFailedError where the source cannot be read any more
   */
  run(onSample: (sample: Sample) => void, signal: AbortSignal): Promise<void>;
}

/** A sensor's source is not as configured: starting again with the same configuration fails again. */
export class SensorUnreadableError extends CallerError {}
/** A sensor that worked does not deliver any more. */
export class SensorFailedError extends OperationError {}
