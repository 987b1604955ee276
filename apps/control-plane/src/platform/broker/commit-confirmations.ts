import { decodePayload } from '@drover/contracts';
import type { AckMessage, DeliveryClass } from '@drover/contracts';

type Committed = Partial<Record<DeliveryClass, number[]>>;
type Range = [number, number];

const CLASSES: ReadonlySet<unknown> = new Set<DeliveryClass>(['m', 'e', 's']);

/** What a message is known by, or null where it has no such mark: then there is nothing to confirm. */
export function deliveryOf(payload: Uint8Array): { bootId: string; class: DeliveryClass; seq: number } | null {
  let content: unknown;
  try {
    content = decodePayload(payload);
  } catch {
    return null;
  }
  const { bootId, class: name, seq } = (content ?? {}) as { bootId?: unknown; class?: unknown; seq?: unknown };
  if (typeof bootId !== 'string' || !CLASSES.has(name) || !Number.isSafeInteger(seq)) return null;
  return { bootId, class: name as DeliveryClass, seq: seq as number };
}

/** Collects what was committed, per device and boot, and says it in ranges. */
export class CommitConfirmations {
  readonly #devices = new Map<string, Map<string, Committed>>();

  get empty(): boolean {
    return this.#devices.size === 0;
  }

  /** @param topic on which the device hears of it */
  add(topic: string, bootId: string, name: DeliveryClass, seq: number): void {
    let boots = this.#devices.get(topic);
    if (!boots) this.#devices.set(topic, (boots = new Map()));
    let committed = boots.get(bootId);
    if (!committed) boots.set(bootId, (committed = {}));
    (committed[name] ??= []).push(seq);
  }

  /** All that was collected, one message per device and boot; then it begins anew. */
  take(): { topic: string; ack: AckMessage }[] {
    const messages: { topic: string; ack: AckMessage }[] = [];
    for (const [topic, boots] of this.#devices) {
      for (const [bootId, committed] of boots) {
        const ranges = Object.entries(committed).map(([name, seqs]) => [name, rangesOf(seqs)]);
        messages.push({ topic, ack: { bootId, committed: Object.fromEntries(ranges) } });
      }
    }
    this.#devices.clear();
    return messages;
  }
}

/** Inclusive ranges, ascending, without gaps between two of them that could be one. */
export function rangesOf(numbers: readonly number[]): Range[] {
  const ranges: Range[] = [];
  for (const number of numbers.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && number <= last[1] + 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges;
}
