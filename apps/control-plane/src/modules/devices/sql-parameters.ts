/** The values of one statement while its text is put together: nothing that a caller gave ever becomes text. */
export class SqlParameters {
  readonly values: unknown[] = [];

  constructor(...values: readonly unknown[]) {
    this.values.push(...values);
  }

  /** @returns the placeholder, with a cast so that PostgreSQL need not guess: `$3::text[]` */
  add(value: unknown, type: string): string {
    this.values.push(value);
    return `$${this.values.length}::${type}`;
  }
}
