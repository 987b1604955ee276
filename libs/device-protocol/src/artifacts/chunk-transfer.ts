import { encodeJson } from '@drover/contracts';
import { OperationError } from '@drover/runtime';
import type { DeviceConnection } from '../connection/device-connection.ts';
import { ArtifactUnavailableError, NotConnectedError, ServerUnreachableError, SizeMismatchError } from '../errors.ts';
import type { ReadRequest, SourceBytes } from './source.ts';

export interface ChunkTransferOptions {
  readonly chunkBytes: number;
  readonly window: number;
  readonly chunkTimeoutMs: number;
  readonly attemptsPerChunk: number;
}

interface Wanted {
  readonly offset: number;
  readonly length: number;
  attempts: number;
  timer: NodeJS.Timeout | null;
  bytes: Uint8Array | null;
}

/**
 * One artifact's way over MQTT: keeps a window of chunks requested, hands them out in order. INVARIANT: `#window` holds
 * what was asked for and not handed out, in order of offset, and nothing else is held in memory.
 */
export class ChunkTransfer {
  readonly #connection: DeviceConnection;
  readonly #request: ReadRequest;
  readonly #options: ChunkTransferOptions;
  readonly #window: Wanted[] = [];
  #nextOffset: number;
  #failure: OperationError | null = null;
  #wake: (() => void) | null = null;

  constructor(connection: DeviceConnection, request: ReadRequest, options: ChunkTransferOptions) {
    this.#connection = connection;
    this.#request = request;
    this.#options = options;
    this.#nextOffset = request.offset;
  }

  async *run(): AsyncGenerator<SourceBytes> {
    const { signal } = this.#request;
    const onChunk = (arrived: { digest: string; offset: number; bytes: Uint8Array }): void => this.#receive(arrived);
    const onOffline = (): void => this.#fail(new NotConnectedError('The connection was lost during the transfer'));
    const onAbort = (): void => this.#wake?.();
    this.#connection.on('chunk', onChunk).on('offline', onOffline);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (!this.#connection.online) onOffline();
      this.#fill();
      while (this.#nextOffset < this.#request.sizeBytes || this.#window.length > 0) {
        const chunk = await this.#arrival();
        this.#window.shift();
        this.#fill();
        yield chunk;
      }
    } finally {
      for (const { timer } of this.#window) if (timer !== null) clearTimeout(timer);
      this.#connection.off('chunk', onChunk).off('offline', onOffline);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** The chunk at the front, once it is there. */
  async #arrival(): Promise<SourceBytes> {
    for (;;) {
      this.#request.signal.throwIfAborted();
      const first = this.#window[0];
      if (first?.bytes) return { offset: first.offset, bytes: first.bytes };
      if (this.#failure !== null) throw this.#failure;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #fill(): void {
    const { sizeBytes } = this.#request;
    while (this.#window.length < this.#options.window && this.#nextOffset < sizeBytes && this.#failure === null) {
      const length = Math.min(this.#options.chunkBytes, sizeBytes - this.#nextOffset);
      const chunk: Wanted = { offset: this.#nextOffset, length, attempts: 0, timer: null, bytes: null };
      this.#window.push(chunk);
      this.#nextOffset += length;
      this.#ask(chunk);
    }
  }

  #ask(chunk: Wanted): void {
    const { attemptsPerChunk, chunkTimeoutMs } = this.#options;
    if (chunk.attempts >= attemptsPerChunk) {
      this.#fail(
        new ServerUnreachableError(`The chunk at ${chunk.offset} did not come in ${attemptsPerChunk} attempts`),
      );
      return;
    }
    chunk.attempts += 1;
    // Each attempt is given more time: a server that throttles is slow, and asking it more often makes it slower.
    chunk.timer = setTimeout(() => this.#ask(chunk), chunkTimeoutMs * chunk.attempts);
    const { digest } = this.#request;
    const body = encodeJson({ digest, offset: chunk.offset, length: chunk.length });
    this.#connection.send(this.#connection.topics.get('chunk'), body, { qos: 0 }, (error) => {
      if (error === null) return;
      this.#fail(error instanceof OperationError ? error : new NotConnectedError(error.message, { cause: error }));
    });
  }

  #receive(arrived: { digest: string; offset: number; bytes: Uint8Array }): void {
    const { digest } = this.#request;
    if (arrived.digest !== digest) return;
    // An answer to an earlier attempt, or to a request of an earlier transfer, is as good; a second one is not needed.
    const chunk = this.#window.find((candidate) => candidate.offset === arrived.offset && candidate.bytes === null);
    if (chunk === undefined) return;
    if (chunk.timer !== null) clearTimeout(chunk.timer);
    const { length } = arrived.bytes;
    if (length === chunk.length) {
      chunk.bytes = arrived.bytes;
      this.#wake?.();
    } else if (length === 0) {
      this.#fail(new ArtifactUnavailableError(`The server does not give artifact ${digest} to this device`));
    } else {
      this.#fail(new SizeMismatchError(`${length} of ${chunk.length} bytes came at offset ${chunk.offset}`));
    }
  }

  #fail(error: OperationError): void {
    this.#failure ??= error;
    this.#wake?.();
  }
}
