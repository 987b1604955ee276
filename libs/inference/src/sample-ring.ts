/**
 * The way of samples from the main thread to the worker: a ring in shared memory. It is queue, history and safety at once:
 * a worker that dies leaves what it had not processed in it, and what was processed stays for a while, so that a new
 * worker or a new model can fill its window again.
 *
 * INVARIANTS
 * - One thread writes (`SampleWriter`), one reads (`SampleReader`). A row is written before `WRITTEN` moves past it.
 * - Positions count rows and wrap at 32 bits; only their differences mean anything. The capacity is a power of two, so
 *   a position's slot stays right across the wrap.
 * - WRITTEN − CONSUMED ≤ queueRows ≤ capacity − historyRows: the last `historyRows` consumed rows are never overwritten.
 */
export interface RingLayout {
  /** Values per row. */
  readonly channels: number;
  /** Rows that wait at most; more are refused. */
  readonly queueRows: number;
  /** Consumed rows that are kept at least. */
  readonly historyRows: number;
}

export interface SharedRing extends RingLayout {
  readonly memory: SharedArrayBuffer;
}

const WRITTEN = 0;
const CONSUMED = 1;
const SLEEPING = 2;
const REFUSED = 3;
const HEADER_BYTES = 64;

function capacityOf({ queueRows, historyRows }: RingLayout): number {
  return 2 ** Math.ceil(Math.log2(queueRows + historyRows));
}

export function createSharedRing(layout: RingLayout): SharedRing {
  const capacity = capacityOf(layout);
  const bytes = HEADER_BYTES + capacity * (8 + 8 + 4 * layout.channels);
  return { ...layout, memory: new SharedArrayBuffer(bytes) };
}

class RingView {
  readonly layout: RingLayout;
  readonly header: Int32Array;
  readonly times: Float64Array;
  readonly arrivals: Float64Array;
  readonly values: Float32Array;
  readonly slotMask: number;

  constructor(ring: SharedRing) {
    const capacity = capacityOf(ring);
    this.layout = ring;
    this.slotMask = capacity - 1;
    this.header = new Int32Array(ring.memory, 0, HEADER_BYTES / 4);
    this.times = new Float64Array(ring.memory, HEADER_BYTES, capacity);
    this.arrivals = new Float64Array(ring.memory, HEADER_BYTES + capacity * 8, capacity);
    this.values = new Float32Array(ring.memory, HEADER_BYTES + capacity * 16, capacity * ring.channels);
  }

  get pending(): number {
    return (Atomics.load(this.header, WRITTEN) - Atomics.load(this.header, CONSUMED)) | 0;
  }
}

/** The main thread's end. */
export class SampleWriter {
  readonly #ring: RingView;
  #written: number;

  constructor(ring: SharedRing) {
    this.#ring = new RingView(ring);
    this.#written = Atomics.load(this.#ring.header, WRITTEN);
  }

  /** Rows that wait. */
  get pending(): number {
    return this.#ring.pending;
  }
  /** Rows that were refused because the queue was full. */
  get refused(): number {
    return this.#ring.header[REFUSED]!;
  }
  /** Position after the last row. */
  get position(): number {
    return this.#written;
  }
  /** Position up to which the worker is done. */
  get consumed(): number {
    return Atomics.load(this.#ring.header, CONSUMED);
  }

  /**
   * @param timeMs the sample's own time
   * @param arrivalMs by `monotonicMs`
   * @param values one per channel; NaN is missing
   * @returns false when the queue is full and the row was refused
   */
  write(timeMs: number, arrivalMs: number, values: ArrayLike<number>): boolean {
    const { header, times, arrivals, values: rows, slotMask, layout } = this.#ring;
    if (this.#ring.pending >= layout.queueRows) {
      header[REFUSED]! += 1;
      return false;
    }
    const slot = this.#written & slotMask;
    times[slot] = timeMs;
    arrivals[slot] = arrivalMs;
    const at = slot * layout.channels;
    for (let c = 0; c < layout.channels; c += 1) rows[at + c] = values[c]!;
    this.#written = (this.#written + 1) | 0;
    Atomics.store(header, WRITTEN, this.#written);
    return true;
  }

  /** True once per sleep of the reader: then it has to be woken. */
  takeSleeping(): boolean {
    return Atomics.exchange(this.#ring.header, SLEEPING, 0) === 1;
  }

  /**
   * Lets the next reader start at an earlier position: rows since then are processed again. Only while no reader lives.
   * Further back than half the history is not possible, because the window before it has to be filled from there too.
   */
  rewind(position: number): void {
    const back = (this.consumed - position) | 0;
    if (back <= 0 || back > this.#ring.layout.historyRows / 2) return;
    Atomics.store(this.#ring.header, CONSUMED, position | 0);
  }
}

/** The worker's end. Rows are read in place: `values[offset]` on, until `advance`. */
export class SampleReader {
  readonly values: Float32Array;
  readonly #ring: RingView;
  #position: number;

  constructor(ring: SharedRing) {
    this.#ring = new RingView(ring);
    this.values = this.#ring.values;
    this.#position = Atomics.load(this.#ring.header, CONSUMED);
  }

  get pending(): number {
    return this.#ring.pending;
  }
  /** Position of the next row. */
  get position(): number {
    return this.#position;
  }
  get timeMs(): number {
    return this.#ring.times[this.#position & this.#ring.slotMask]!;
  }
  get arrivalMs(): number {
    return this.#ring.arrivals[this.#position & this.#ring.slotMask]!;
  }
  get offset(): number {
    return (this.#position & this.#ring.slotMask) * this.#ring.layout.channels;
  }

  /** Done with the next row. */
  advance(): void {
    this.#position = (this.#position + 1) | 0;
    Atomics.store(this.#ring.header, CONSUMED, this.#position);
  }

  /** Goes to sleep unless rows came meanwhile; the writer's next row then rings. @returns false: there is work */
  sleep(): boolean {
    Atomics.store(this.#ring.header, SLEEPING, 1);
    if (this.pending <= 0) return true;
    Atomics.store(this.#ring.header, SLEEPING, 0);
    return false;
  }

  /**
   * Visits the newest consumed rows, oldest first.
   *
   * @param rows at most this many; fewer where the history does not reach back that far
   */
  async replay(rows: number, visit: (timeMs: number, offset: number) => unknown): Promise<number> {
    const count = this.#historyLength(rows);
    const end = this.#position;
    for (let i = count; i > 0; i -= 1) {
      const slot = (end - i) & this.#ring.slotMask;
      const done = visit(this.#ring.times[slot]!, slot * this.#ring.layout.channels);
      if (done instanceof Promise) await done;
    }
    return count;
  }

  /** Slots that the writer cannot reach meanwhile. Before the ring was filled once, some have never held a row: arrival 0. */
  #historyLength(most: number): number {
    const { slotMask, arrivals, layout } = this.#ring;
    const limit = Math.min(most, slotMask + 1 - Math.max(this.pending, layout.queueRows));
    let length = 0;
    while (length < limit && arrivals[(this.#position - length - 1) & slotMask] !== 0) length += 1;
    return length;
  }
}

/** Milliseconds on a clock that all threads of this process read alike (`performance.now` starts with each thread). */
export const monotonicMs: () => number = (() => {
  const offset = sharedClockOffsetMs();
  return () => performance.now() + offset;
})();

/** The first readings are slow (lazily compiled) and anything may come between two: the closest pair of many counts. */
function sharedClockOffsetMs(): number {
  let offset = 0;
  let closest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 50; i += 1) {
    const before = performance.now();
    const shared = Number(process.hrtime.bigint()) / 1e6;
    const after = performance.now();
    if (after - before >= closest) continue;
    closest = after - before;
    offset = shared - (before + after) / 2;
  }
  return offset;
}
