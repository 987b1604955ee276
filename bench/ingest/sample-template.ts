import { publishPacket } from './packets.ts';

/** Eight sensors of a pump. */
const CHANNELS = [
  'accelerometer_1',
  'accelerometer_2',
  'current',
  'pressure',
  'temperature',
  'thermocouple',
  'voltage',
  'flow_rate',
];
const SEQ_DIGITS = 9;
/** Numbers of a fixed width, so that a message is its template with some digits replaced. */
export const FIRST_SEQ = 10 ** (SEQ_DIGITS - 1);

const ZERO = 0x30;

/** One sample per message, as the agent sends it, made by replacing digits: the generator must cost as little as it can. */
export class SampleTemplate {
  readonly #bytes: Buffer;
  readonly #packetIdAt: number;
  readonly #seqAt: number;
  readonly #timeAt: number;
  readonly #valuesAt: number[] = [];
  readonly payloadBytes: number;
  #state: number;

  constructor(topic: string, bootId: string, seed: number) {
    const values = CHANNELS.map(() => '10.000').join();
    const names = CHANNELS.map((name) => `"${name}"`).join();
    const json = `{"bootId":"${bootId}","class":"m","seq":${FIRST_SEQ},"t":${Date.now()},"channels":[${names}],"values":[${values}]}`;
    const { bytes, packetIdAt, payloadAt } = publishPacket(topic, Buffer.from(json));
    this.#bytes = bytes;
    this.#packetIdAt = packetIdAt;
    this.#seqAt = payloadAt + json.indexOf('"seq":') + 6;
    this.#timeAt = payloadAt + json.indexOf('"t":') + 4;
    const first = payloadAt + json.indexOf('"values":[') + 10;
    for (let i = 0; i < CHANNELS.length; i++) this.#valuesAt.push(first + i * 7);
    this.payloadBytes = json.length;
    this.#state = seed | 1;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** Writes the next message. @returns where it ends */
  write(into: Buffer, at: number, packetId: number, seq: number, nowMs: number): number {
    this.#bytes.copy(into, at);
    into.writeUInt16BE(packetId, at + this.#packetIdAt);
    writeDigits(into, at + this.#seqAt, seq, SEQ_DIGITS);
    writeDigits(into, at + this.#timeAt, nowMs, 13);
    for (const valueAt of this.#valuesAt) {
      const random = this.#random();
      into[at + valueAt] = ZERO + 1 + (random % 9);
      writeDigits(into, at + valueAt + 3, (random >>> 8) % 1_000, 3);
    }
    return at + this.#bytes.length;
  }

  /** xorshift32 (Marsaglia 2003). */
  #random(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }
}

function writeDigits(into: Buffer, at: number, value: number, digits: number): void {
  let rest = value;
  for (let i = digits - 1; i >= 0; i--) {
    const next = Math.floor(rest / 10);
    into[at + i] = ZERO + (rest - next * 10);
    rest = next;
  }
}
