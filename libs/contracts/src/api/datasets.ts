import { z } from 'zod';
import { datasetReportSchema, recordingOptionsSchema } from '../dataset-report.ts';
import { digestSchema, idSchema, instantSchema, nameSchema } from '../ids.ts';
import { defineRoutes, pageOf, pageQuerySchema } from './route.ts';

export const DATASET_STATUSES = ['VALIDATING', 'READY', 'INVALID'] as const;

export const datasetFileSchema = z.object({ name: nameSchema, artifact: digestSchema });

/** Recordings to train or measure on. Its files never change. */
export const datasetSchema = z.object({
  id: idSchema,
  name: nameSchema,
  status: z.enum(DATASET_STATUSES),
  /** The capture that it came from; null where it was uploaded. */
  capture: idSchema.nullable(),
  files: z.array(datasetFileSchema),
  options: recordingOptionsSchema,
  report: datasetReportSchema.nullable(),
  /** Why it is INVALID. */
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  createdAt: instantSchema,
});
export type Dataset = z.infer<typeof datasetSchema>;

export const datasetRoutes = defineRoutes('datasets', {
  list: {
    method: 'GET',
    path: '/datasets',
    summary: 'Datasets, newest first',
    access: 'viewer',
    query: pageQuerySchema.extend({ status: z.enum(DATASET_STATUSES).optional() }),
    response: pageOf(datasetSchema),
    status: 200,
  },
  create: {
    method: 'POST',
    path: '/datasets',
    summary: 'A dataset of uploaded CSV files (artifacts); it is validated before it can be trained on',
    access: 'operator',
    body: z.object({
      name: nameSchema,
      files: z.array(datasetFileSchema).min(1).max(256),
      options: recordingOptionsSchema.prefault({}),
    }),
    response: datasetSchema,
    status: 202,
  },
  get: {
    method: 'GET',
    path: '/datasets/:dataset',
    summary: 'One dataset with its validation report',
    access: 'viewer',
    response: datasetSchema,
    status: 200,
  },
  delete: {
    method: 'DELETE',
    path: '/datasets/:dataset',
    summary: 'Remove a dataset; releases that were trained on it stay',
    access: 'operator',
    response: 'none',
    status: 204,
  },
});

export const CAPTURE_STATUSES = ['RUNNING', 'COMPLETED', 'FAILED', 'CANCELED'] as const;
export const CAPTURE_DEVICE_STATUSES = ['PENDING', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELED'] as const;

/** Raw samples that devices were asked for, over the normal telemetry path. */
export const captureSchema = z.object({
  id: idSchema,
  name: nameSchema,
  status: z.enum(CAPTURE_STATUSES),
  pipeline: idSchema,
  durationMs: z.number().int(),
  devices: z.array(
    z.object({
      device: idSchema,
      status: z.enum(CAPTURE_DEVICE_STATUSES),
      /** Samples that have arrived. */
      rows: z.number().int(),
      message: z.string().nullable(),
    }),
  ),
  /** Made of what arrived, one file per device. */
  dataset: idSchema.nullable(),
  createdAt: instantSchema,
  /** What has not arrived by then is not waited for. */
  deadlineAt: instantSchema,
  endedAt: instantSchema.nullable(),
});
export type Capture = z.infer<typeof captureSchema>;

export const captureRoutes = defineRoutes('captures', {
  list: {
    method: 'GET',
    path: '/captures',
    summary: 'Captures, newest first',
    access: 'viewer',
    query: pageQuerySchema.extend({ status: z.enum(CAPTURE_STATUSES).optional() }),
    response: pageOf(captureSchema),
    status: 200,
  },
  create: {
    method: 'POST',
    path: '/captures',
    summary: 'Ask devices for all raw samples of a pipeline for some time; they become a dataset',
    access: 'operator',
    body: z.object({
      name: nameSchema,
      devices: z.array(idSchema).min(1).max(64),
      pipeline: idSchema.default('main'),
      durationMs: z.number().int().min(1_000).max(86_400_000),
    }),
    response: captureSchema,
    status: 202,
  },
  get: {
    method: 'GET',
    path: '/captures/:capture',
    summary: 'One capture: which devices have answered, and how much has arrived',
    access: 'viewer',
    response: captureSchema,
    status: 200,
  },
  cancel: {
    method: 'POST',
    path: '/captures/:capture/cancel',
    summary: 'End a capture without a dataset',
    access: 'operator',
    response: captureSchema,
    status: 200,
  },
});
