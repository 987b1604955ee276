import { SampleWriter, createSharedRing } from './sample-ring.ts';
import type { SharedRing } from './sample-ring.ts';
import type { DetectorSpec, PipelineSetup, PipelineSnapshot, WorkerRequests } from './worker-messages.ts';

export interface HostedPipelineOptions extends PipelineSetup {
  /** Samples that wait at most while the worker is busy or away. Default: what fits a megabyte, at most 8,192. */
  readonly queueRows?: number;
  /** Processed samples that are kept to fill a new detector's window. Default as `queueRows`. */
  readonly historyRows?: number;
}

const DEFAULT_RING_BYTES = 2 ** 20;
const MOST_DEFAULT_ROWS = 8_192;
const FEWEST_DEFAULT_ROWS = 256;

/** What the main thread remembers of a pipeline, so that a new worker can be given all of it. */
export class HostedPipeline {
  readonly setup: PipelineSetup;
  readonly ring: SharedRing;
  readonly writer: SampleWriter;
  /** The number that samples ring with. */
  readonly index: number;
  /** Detectors that are prepared, by key. */
  readonly specs = new Map<string, DetectorSpec>();
  servingKey: string | null = null;
  #snapshot: PipelineSnapshot | null = null;

  constructor(options: HostedPipelineOptions, index: number) {
    const { queueRows, historyRows, ...setup } = options;
    const rows = defaultRows(setup.channels.length);
    this.setup = setup;
    this.ring = createSharedRing({
      channels: setup.channels.length,
      queueRows: queueRows ?? rows,
      historyRows: historyRows ?? rows,
    });
    this.writer = new SampleWriter(this.ring);
    this.index = index;
  }

  /** How a worker is told of it. */
  announcement(hold: boolean): WorkerRequests['add']['args'] {
    return { setup: this.setup, ring: this.ring, index: this.index, hold };
  }

  /** The newest memory of the detector that serves. */
  get snapshot(): PipelineSnapshot | null {
    return this.#snapshot;
  }

  serve(key: string, snapshot: PipelineSnapshot): void {
    this.servingKey = key;
    this.#snapshot = snapshot;
  }

  /** Ignores the memory of a detector that no longer serves. */
  keep(snapshot: PipelineSnapshot | null): void {
    if (snapshot !== null && snapshot.key === this.servingKey) this.#snapshot = snapshot;
  }
}

function defaultRows(channels: number): number {
  const rowBytes = 16 + 4 * channels;
  return Math.max(FEWEST_DEFAULT_ROWS, Math.min(MOST_DEFAULT_ROWS, Math.floor(DEFAULT_RING_BYTES / rowBytes)));
}
