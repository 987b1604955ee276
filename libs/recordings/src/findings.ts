import type { RecordingReport } from './dataset-report.ts';

/** How often a column breaks its rule, and where first. */
export interface BadCells {
  readonly column: string;
  readonly firstRow: number;
  readonly text: string;
  count: number;
}

/** Of one file: what the report says, and what only its problems need. */
export interface Findings {
  readonly report: RecordingReport;
  /** Cells of channels that are no numbers. */
  readonly texts: readonly BadCells[];
  /** Times that are missing or none, and labels that are none. */
  readonly times: BadCells | undefined;
  readonly labels: BadCells | undefined;
  readonly steps: { readonly medianMs: number | null; readonly given: boolean };
  /** What ended the reading before the end of the file. */
  readonly stopped: string | undefined;
}
