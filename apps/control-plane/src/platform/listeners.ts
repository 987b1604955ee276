/** What this process listens on, for the start-up message, `/readyz` and the tests. */
export class Listeners {
  readonly #urls = new Map<string, string>();

  add(name: string, url: string): void {
    this.#urls.set(name, url);
  }

  url(name: string): string | undefined {
    return this.#urls.get(name);
  }

  get all(): Record<string, string> {
    return Object.fromEntries(this.#urls);
  }
}
