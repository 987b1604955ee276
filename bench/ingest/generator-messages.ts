/** What the load generator, a process of its own, is told and answers. */

export interface GeneratorTarget {
  readonly host: string;
  readonly port: number;
}

export interface GeneratorDevice {
  readonly clientId: string;
  readonly topic: string;
  readonly bootId: string;
  /** PEM; left out for plain TCP. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca: string };
}

export interface GeneratorOrder {
  readonly target: GeneratorTarget;
  readonly devices: readonly GeneratorDevice[];
  /** Messages that each device keeps unacknowledged. */
  readonly inFlight: number;
  /** Before anything is counted. */
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface GeneratorReport {
  /** Acknowledged per second while it was measured. */
  readonly rate: number;
  /** From sending a message to its acknowledgement, milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly payloadBytes: number;
  /** Processor time of the generator while it was measured, in cores. */
  readonly cores: number;
  readonly devices: readonly {
    readonly clientId: string;
    readonly bootId: string;
    readonly firstSeq: number;
    readonly acknowledged: number;
  }[];
}

export type GeneratorAnswer = { readonly report: GeneratorReport } | { readonly failure: string };
