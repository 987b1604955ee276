/** Whether this process can do its work now: every part that was named must say so. */
export class Readiness {
  readonly #parts = new Map<string, { ready: boolean; detail: string }>();

  set(part: string, ready: boolean, detail = ''): void {
    this.#parts.set(part, { ready, detail });
  }

  get ready(): boolean {
    return this.#parts.size > 0 && [...this.#parts.values()].every((part) => part.ready);
  }

  get parts(): Record<string, { ready: boolean; detail: string }> {
    return Object.fromEntries(this.#parts);
  }
}
