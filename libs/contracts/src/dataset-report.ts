import { z } from 'zod';
import { instantSchema } from './ids.ts';

/** How a CSV file is read; what is left out is found in the file. */
export const recordingOptionsSchema = z.object({
  /** One character. */
  delimiter: z.string().length(1).optional(),
  /** Name of the column with the time. */
  timestamp: z.string().min(1).max(200).optional(),
  /** Names of label columns; never channels. */
  labels: z.array(z.string().min(1).max(200)).max(16).optional(),
  /** Names and order of the channels. */
  channels: z.array(z.string().min(1).max(64)).min(1).max(256).optional(),
  /** For files without a time column. */
  rateHz: z.number().positive().max(1_000_000).optional(),
});
export type RecordingReadOptions = z.infer<typeof recordingOptionsSchema>;

export const channelReportSchema = z.object({
  name: z.string(),
  missing: z.number().int(),
  constant: z.boolean(),
  min: z.number().nullable(),
  max: z.number().nullable(),
  mean: z.number().nullable(),
  deviation: z.number().nullable(),
});

export const recordingReportSchema = z.object({
  name: z.string(),
  rows: z.number().int(),
  startAt: instantSchema.nullable(),
  endAt: instantSchema.nullable(),
  /** One over the median step. */
  rateHz: z.number().nullable(),
  /** Steps longer than ten times the median. */
  gaps: z.object({ count: z.number().int(), longestMs: z.number() }),
  duplicateTimes: z.number().int(),
  backwardTimes: z.number().int(),
  /** Share of steps that differ from the median by more than a tenth. */
  irregularShare: z.number(),
  channels: z.array(channelReportSchema),
  /** Names of columns that are neither time nor channel. */
  labels: z.array(z.string()),
  ignored: z.array(z.string()),
  /** Share of rows that are labelled anomalous; null without labels. */
  labelShare: z.number().nullable(),
});
export type RecordingReport = z.infer<typeof recordingReportSchema>;

/** What can be said of a dataset before anything is trained on it. */
export const datasetReportSchema = z.object({
  rows: z.number().int(),
  files: z.array(recordingReportSchema),
  /** An error keeps it from being trained on; a warning is good to know. */
  problems: z.array(
    z.object({ severity: z.enum(['error', 'warning']), file: z.string().nullable(), message: z.string().max(1_000) }),
  ),
});
export type DatasetReport = z.infer<typeof datasetReportSchema>;
