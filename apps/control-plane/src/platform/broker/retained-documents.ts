/**
 * The last document of each retained topic, as a cache: bounded, the longest unchanged goes first. What is missing here is
 * sent when the device says what it has seen; the database is the truth.
 */
export class RetainedDocuments {
  readonly #maxBytes: number;
  readonly #documents = new Map<string, Buffer>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(topic: string): Buffer | undefined {
    return this.#documents.get(topic);
  }

  get sizeBytes(): number {
    return this.#bytes;
  }

  /** An empty payload removes, as MQTT has it. */
  set(topic: string, payload: Buffer): void {
    this.delete(topic);
    if (payload.length === 0 || payload.length > this.#maxBytes) return;
    this.#documents.set(topic, payload);
    this.#bytes += payload.length;
    for (const oldest of this.#documents.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(topic: string): void {
    const known = this.#documents.get(topic);
    if (known === undefined) return;
    this.#documents.delete(topic);
    this.#bytes -= known.length;
  }
}
