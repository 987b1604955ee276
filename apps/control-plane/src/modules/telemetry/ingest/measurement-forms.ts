import type { SampleMessage } from '@drover/contracts';
import { BoundedCache } from './bounded-cache.ts';
import { MeasurementForm } from './measurement-form.ts';
import type { SampleKeys } from './sample-batch.ts';

/** Streams whose form is remembered: some kilobytes each. */
const STREAMS = 4_096;

/** A form that read so many messages was worth learning. */
const WORTH_HITS = 16;
const FIRST_PATIENCE = 2;
const MOST_PATIENCE = 1_024;

interface Known {
  form: MeasurementForm | null;
  /** Messages since it was learnt that were not of it. */
  misses: number;
  /** How many misses it takes to learn another. */
  patience: number;
}

/** The present form of each stream's messages, by topic. */
export class MeasurementForms {
  readonly #known = new BoundedCache<Known>(STREAMS);

  find(topic: string): MeasurementForm | null {
    return this.#known.get(topic)?.form ?? null;
  }

  /**
   * Told of a message that was not of the stream's form. After two of them another one is learnt, and less and less often where
   * that was of no use: a stream of which no two messages are alike, or more streams than can be remembered, cost next
   * to nothing.
   */
  learn(topic: string, payload: Uint8Array, message: SampleMessage, keys: SampleKeys): void {
    const known = this.#known.get(topic);
    if (known === undefined) {
      this.#known.set(topic, { form: null, misses: 1, patience: FIRST_PATIENCE });
      return;
    }
    known.misses += 1;
    if (known.misses < known.patience) return;
    known.misses = 0;
    const form = MeasurementForm.of(payload, message, keys);
    if (form === null) return;
    const worth = known.form !== null && known.form.hits >= WORTH_HITS;
    known.patience = worth ? FIRST_PATIENCE : Math.min(known.patience * 2, MOST_PATIENCE);
    known.form = form;
  }
}
