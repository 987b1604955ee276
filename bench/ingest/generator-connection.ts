import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { OperationError } from '@drover/runtime';
import { CONNACK, DISCONNECT, PUBACK, connectPacket } from './packets.ts';
import { FIRST_SEQ, SampleTemplate } from './sample-template.ts';
import type { GeneratorDevice, GeneratorTarget } from './generator-messages.ts';

/** The broker refused or dropped a connection. */
export class LoadConnectionError extends OperationError {}

const KEEP_ALIVE_SECONDS = 120;
const PACKET_BYTES = 4;

/** Told of every acknowledgement: how long after its message was sent, in milliseconds. */
export type OnAcknowledged = (latencyMs: number) => void;

/** One device of the load: keeps `inFlight` messages unacknowledged, each with a number of its own. */
export class GeneratorConnection {
  readonly device: GeneratorDevice;
  readonly #template: SampleTemplate;
  readonly #onAcknowledged: OnAcknowledged;
  readonly #sentAt: Float64Array;
  readonly #closed = Promise.withResolvers<never>();
  #socket!: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #free: number[] = [];
  #nextSeq = FIRST_SEQ;
  #acknowledged = 0;
  #sending = false;
  #ended = false;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(device: GeneratorDevice, inFlight: number, seed: number, onAcknowledged: OnAcknowledged) {
    this.device = device;
    this.#template = new SampleTemplate(device.topic, device.bootId, seed);
    this.#onAcknowledged = onAcknowledged;
    this.#sentAt = new Float64Array(inFlight + 1);
    this.#closed.promise.catch(() => undefined);
  }

  get payloadBytes(): number {
    return this.#template.payloadBytes;
  }

  /** Messages that were sent: the numbers from `FIRST_SEQ` on. */
  get sent(): number {
    return this.#nextSeq - FIRST_SEQ;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Resolves when CONNECT has been accepted. */
  async connect(target: GeneratorTarget): Promise<void> {
    const { host, port } = target;
    const { tls } = this.device;
    const socket = tls ? connectTls({ host, port, ...tls, minVersion: 'TLSv1.2' }) : connectTcp({ host, port });
    this.#socket = socket;
    socket.setNoDelay(true);
    const fail = (what: string): void => {
      if (!this.#ended) this.#closed.reject(new LoadConnectionError(`${this.device.clientId}: ${what}`));
    };
    socket.on('error', (error) => fail(error.message));
    socket.on('close', () => fail('the connection was closed'));
    const accepted = Promise.withResolvers<void>();
    socket.once('data', (answer: Buffer) => {
      if (answer[0] === CONNACK && answer[3] === 0) accepted.resolve();
      else accepted.reject(new LoadConnectionError(`${this.device.clientId}: refused with code ${answer[3]}`));
      socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    });
    socket.write(connectPacket(this.device.clientId, KEEP_ALIVE_SECONDS));
    await Promise.race([accepted.promise, this.#closed.promise]);
  }

  /** Sends until `stop`. */
  start(): void {
    this.#sending = true;
    for (let id = 1; id < this.#sentAt.length; id++) this.#free.push(id);
    this.#send(performance.now());
  }

  /** Sends no more; resolves when everything that was sent is acknowledged. @throws LoadConnectionError */
  async stop(): Promise<void> {
    this.#sending = false;
    if (this.#acknowledged < this.sent) {
      this.#idle = Promise.withResolvers<void>();
      await Promise.race([this.#idle.promise, this.#closed.promise]);
    }
    this.#ended = true;
    this.#socket.end(DISCONNECT);
  }

  #receive(chunk: Buffer): void {
    const now = performance.now();
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (; at + PACKET_BYTES <= bytes.length; at += PACKET_BYTES) {
      if (bytes[at] !== PUBACK) {
        this.#closed.reject(
          new LoadConnectionError(`${this.device.clientId}: unexpected packet 0x${bytes[at]!.toString(16)}`),
        );
        return;
      }
      const id = bytes.readUInt16BE(at + 2);
      this.#onAcknowledged(now - this.#sentAt[id]!);
      this.#acknowledged += 1;
      this.#free.push(id);
    }
    this.#rest = bytes.subarray(at);
    if (this.#sending) this.#send(now);
    else if (this.#acknowledged === this.sent) this.#idle?.resolve();
  }

  #send(now: number): void {
    const bytes = Buffer.allocUnsafe(this.#free.length * this.#template.length);
    const time = Date.now();
    let at = 0;
    for (const id of this.#free) {
      at = this.#template.write(bytes, at, id, this.#nextSeq++, time);
      this.#sentAt[id] = now;
    }
    this.#free = [];
    this.#socket.write(bytes);
  }
}
