/** One benchmark: a file `bench/<name>.ts` that exports these. */
export interface Bench {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  run(options: BenchOptions): Promise<BenchResult>;
}

export interface BenchOptions {
  /** A folder with recordings, for benches that use some. */
  readonly dataDir?: string | undefined;
  /** Only these model families, for benches that compare some. */
  readonly families?: readonly string[] | undefined;
  /** Tells what is going on; not part of the result. */
  say(text: string): void;
}

export interface BenchResult {
  readonly measures: readonly Measure[];
  /** What the figures depend on: payload sizes, settings that make a difference. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
}

/** One figure. */
export interface Measure {
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  /** The floor or peer, measured in the same run. */
  readonly peer?: { readonly name: string; readonly value: number };
  /** value / peer. */
  readonly ratio?: number;
  /** In words: `>= 20,000`, `<= 1.5 x peer`. */
  readonly goal?: string;
  /** Whether the goal is met; left out where there is none. */
  readonly ok?: boolean;
}
