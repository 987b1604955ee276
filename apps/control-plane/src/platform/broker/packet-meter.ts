import type { Duplex } from 'node:stream';

export type PacketViolation = 'oversized' | 'malformed' | 'no-connect';

export interface PacketLimits {
  /** Largest packet, by its remaining length. */
  readonly maxBytes: number;
  /** Largest first packet, which must be a CONNECT: the peer is not known yet. */
  readonly maxConnectBytes: number;
}

const CONNECT = 0x10;
const MAX_LENGTH_BYTES = 4;

/**
 * Follows the fixed headers of an MQTT stream (MQTT 3.1.1, 2.2: a type byte, then the remaining length in one to four bytes
 * of seven bits each), so that a packet that is too large is noticed before anybody keeps its bytes: the parser
 * behind it collects a whole packet, however large, before it looks inside.
 */
export class PacketMeter {
  readonly #limits: PacketLimits;
  #first = true;
  /** Bytes of the present packet's body that are still to come. */
  #body = 0;
  /** Bytes of the present remaining length seen so far; -1 between packets. */
  #lengthBytes = -1;
  #length = 0;

  constructor(limits: PacketLimits) {
    this.#limits = limits;
  }

  /** @returns what is wrong with the stream up to here, or null; after a violation the stream is of no more use */
  take(chunk: Uint8Array): PacketViolation | null {
    let at = 0;
    while (at < chunk.length) {
      if (this.#body > 0) {
        const skipped = Math.min(this.#body, chunk.length - at);
        this.#body -= skipped;
        at += skipped;
        continue;
      }
      const byte = chunk[at++]!;
      if (this.#lengthBytes === -1) {
        if (this.#first && byte !== CONNECT) return 'no-connect';
        this.#lengthBytes = 0;
        this.#length = 0;
        continue;
      }
      this.#length += (byte & 0x7f) * 128 ** this.#lengthBytes;
      this.#lengthBytes += 1;
      if (byte > 0x7f) {
        if (this.#lengthBytes === MAX_LENGTH_BYTES) return 'malformed';
        continue;
      }
      if (this.#length > (this.#first ? this.#limits.maxConnectBytes : this.#limits.maxBytes)) return 'oversized';
      this.#first = false;
      this.#body = this.#length;
      this.#lengthBytes = -1;
    }
    return null;
  }
}

/** Puts a meter between a socket and whoever reads it. Nothing of a chunk that holds a violation is handed on. */
export function meterSocket(
  socket: Duplex,
  meter: PacketMeter,
  onViolation: (violation: PacketViolation) => void,
): void {
  const read = socket.read.bind(socket);
  let spoiled = false;
  socket.read = (size?: number): Buffer | null => {
    const chunk = read(size) as Buffer | null;
    if (chunk === null || spoiled) return null;
    const violation = meter.take(chunk);
    if (violation === null) return chunk;
    spoiled = true;
    onViolation(violation);
    return null;
  };
}
