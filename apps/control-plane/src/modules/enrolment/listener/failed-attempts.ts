import { isIPv6 } from 'node:net';
import type { Clock } from '@drover/runtime';

export interface AttemptLimits {
  /** Failures an address may have at once. */
  readonly burst: number;
  /** After this long it may have one more. */
  readonly everyMs: number;
  /** Addresses that are remembered; over it the one longest quiet is forgotten. */
  readonly addresses: number;
}

const DEFAULT_LIMITS: AttemptLimits = { burst: 20, everyMs: 3_000, addresses: 10_000 };

/**
 * Counts failures per address, as a bucket that empties with time; successes cost nothing. A secret of 256 bits is not found by
 * guessing anyway: this keeps a device with a wrong token, trying for ever, from costing more than a look into a map.
 */
export class FailedAttempts {
  readonly #clock: Clock;
  readonly #limits: AttemptLimits;
  /** Failures at a time, by address; the order of insertion is that of the last failure. */
  readonly #failures = new Map<string, { level: number; at: number }>();

  constructor(clock: Clock, limits: Partial<AttemptLimits> = {}) {
    this.#clock = clock;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
  }

  /** How long an address has to wait, in milliseconds; 0: not at all. */
  waitMs(address: string): number {
    const level = this.#levelOf(networkOf(address));
    const over = level - (this.#limits.burst - 1);
    return over <= 0 ? 0 : Math.ceil(over * this.#limits.everyMs);
  }

  failed(address: string): void {
    const network = networkOf(address);
    const level = Math.min(this.#levelOf(network) + 1, this.#limits.burst);
    this.#failures.delete(network);
    this.#failures.set(network, { level, at: this.#clock.monotonic() });
    if (this.#failures.size <= this.#limits.addresses) return;
    for (const oldest of this.#failures.keys()) {
      this.#failures.delete(oldest);
      break;
    }
  }

  #levelOf(network: string): number {
    const failure = this.#failures.get(network);
    if (!failure) return 0;
    return Math.max(0, failure.level - (this.#clock.monotonic() - failure.at) / this.#limits.everyMs);
  }
}

/** Who counts as one: an address of IPv4, or a network of 64 bits of IPv6, which is what one customer has. */
function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.split('%', 1)[0]!.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => '0');
  return `${[...before, ...zeros, ...after].slice(0, 4).join(':')}::/64`;
}
