import { z } from 'zod';
import { digestSchema, idSchema, instantSchema, nameSchema, tagsSchema } from '../ids.ts';
import { anomalySchema } from '../messages.ts';
import { hardwareProfileSchema, tierSchema } from '../tiers.ts';
import { desiredStateSchema, reportedStateSchema } from '../twin.ts';
import { defineRoutes, listOf, pageOf, pageQuerySchema, sortBy } from './route.ts';

/** Chooses devices by what is known of them. Every condition given must hold. */
export const deviceFilterSchema = z
  .object({
    tiers: z.array(tierSchema).min(1).max(16).optional(),
    tags: tagsSchema.optional(),
    groups: z.array(idSchema).min(1).max(50).optional(),
    nameContains: z.string().min(1).max(120).optional(),
    pipelines: z.array(idSchema).min(1).max(50).optional(),
  })
  .refine((filter) => Object.values(filter).some((value) => value !== undefined), 'give at least one condition');
export type DeviceFilter = z.infer<typeof deviceFilterSchema>;

export const DEVICE_STATES = ['active', 'decommissioned'] as const;

export const deviceSchema = z.object({
  id: idSchema,
  fleet: idSchema,
  name: nameSchema,
  state: z.enum(DEVICE_STATES),
  tier: tierSchema,
  tierOverridden: z.boolean(),
  online: z.boolean(),
  lastSeenAt: instantSchema.nullable(),
  enrolledAt: instantSchema,
  epoch: z.number().int(),
  tags: tagsSchema,
  groups: z.array(idSchema),
  pipelines: z.array(idSchema),
  profile: hardwareProfileSchema,
  agentVersion: z.string(),
});
export type Device = z.infer<typeof deviceSchema>;

export const deviceQuerySchema = pageQuerySchema.extend({
  q: z.string().max(120).optional(),
  tier: listOf(tierSchema).optional(),
  group: idSchema.optional(),
  online: z.enum(['true', 'false']).optional(),
  state: z.enum(DEVICE_STATES).optional(),
  /** `key:value` */
  tag: listOf(z.string().regex(/^[^:]+:.*$/, 'must be key:value')).optional(),
  sort: sortBy(['name', 'lastSeenAt', 'enrolledAt', 'tier'], 'name'),
});
export type DeviceQuery = z.infer<typeof deviceQuerySchema>;

export const twinSchema = z.object({
  device: idSchema,
  desired: desiredStateSchema.omit({ keys: true }),
  epoch: z.number().int(),
  version: z.number().int(),
  updatedAt: instantSchema,
  reported: reportedStateSchema.nullable(),
  reportedAt: instantSchema.nullable(),
  /** The device has accepted the newest desired state. */
  inSync: z.boolean(),
});

export const certificateSchema = z.object({
  serial: z.string(),
  device: idSchema,
  issuedAt: instantSchema,
  expiresAt: instantSchema,
  revokedAt: instantSchema.nullable(),
  revocationReason: z.string().nullable(),
});

export const anomalyResourceSchema = anomalySchema.extend({
  device: idSchema,
  fleet: idSchema,
  receivedAt: instantSchema,
});
export type AnomalyResource = z.infer<typeof anomalyResourceSchema>;

export const anomalyQuerySchema = pageQuerySchema.extend({
  device: idSchema.optional(),
  pipeline: idSchema.optional(),
  release: idSchema.optional(),
  rollout: idSchema.optional(),
  state: z.enum(['open', 'closed']).optional(),
  variantDigest: digestSchema.optional(),
  from: instantSchema.optional(),
  to: instantSchema.optional(),
  sort: sortBy(['startedAt', 'peakScore'], '-startedAt'),
});
export type AnomalyQuery = z.infer<typeof anomalyQuerySchema>;

export const measurementQuerySchema = z.object({
  stream: idSchema,
  channels: listOf(z.string().max(64)).optional(),
  from: instantSchema.optional(),
  to: instantSchema.optional(),
  /** Seconds per step; without it every sample. */
  step: z.coerce.number().positive().max(31_536_000).optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(1_000),
  cursor: z.string().max(512).optional(),
});
export type MeasurementQuery = z.infer<typeof measurementQuerySchema>;

/** Raw samples, or per step `{count, min, max, mean}` for each channel (null where it had no value). */
export const measurementsSchema = z.object({
  device: idSchema,
  stream: idSchema,
  channels: z.array(z.string()),
  stepSeconds: z.number().nullable(),
  rows: z.array(
    z.object({
      at: instantSchema,
      values: z.array(z.number().nullable()).optional(),
      count: z.array(z.number().int()).optional(),
      min: z.array(z.number().nullable()).optional(),
      max: z.array(z.number().nullable()).optional(),
      mean: z.array(z.number().nullable()).optional(),
    }),
  ),
  nextCursor: z.string().nullable(),
});
export type Measurements = z.infer<typeof measurementsSchema>;

export const streamSchema = z.object({
  name: idSchema,
  channels: z.array(z.string()),
  firstAt: instantSchema.nullable(),
  lastAt: instantSchema.nullable(),
});

export const deviceRoutes = defineRoutes('devices', {
  list: {
    method: 'GET',
    path: '/devices',
    summary: 'Search, filter and sort devices',
    access: 'viewer',
    query: deviceQuerySchema,
    response: pageOf(deviceSchema),
    status: 200,
  },
  get: {
    method: 'GET',
    path: '/devices/:device',
    summary: 'One device',
    access: 'viewer',
    response: deviceSchema,
    status: 200,
  },
  update: {
    method: 'PATCH',
    path: '/devices/:device',
    summary: 'Rename a device, tag it, override its tier (null: derive it again)',
    access: 'operator',
    body: z.object({
      name: nameSchema.optional(),
      tags: tagsSchema.optional(),
      tier: tierSchema.nullable().optional(),
    }),
    response: deviceSchema,
    status: 200,
  },
  decommission: {
    method: 'DELETE',
    path: '/devices/:device',
    summary: 'Decommission: revoke the certificates and tell the agent to erase',
    access: 'admin',
    response: 'none',
    status: 204,
  },
  twin: {
    method: 'GET',
    path: '/devices/:device/twin',
    summary: 'Desired and reported state',
    access: 'viewer',
    response: twinSchema,
    status: 200,
  },
  streams: {
    method: 'GET',
    path: '/devices/:device/streams',
    summary: 'Streams a device has sent',
    access: 'viewer',
    response: z.object({ items: z.array(streamSchema) }),
    status: 200,
  },
  measurements: {
    method: 'GET',
    path: '/devices/:device/measurements',
    summary: 'Samples, or summaries per step',
    access: 'viewer',
    query: measurementQuerySchema,
    response: measurementsSchema,
    status: 200,
  },
  anomalies: {
    method: 'GET',
    path: '/devices/:device/anomalies',
    summary: 'Anomalies of a device',
    access: 'viewer',
    query: anomalyQuerySchema.omit({ device: true }),
    response: pageOf(anomalyResourceSchema),
    status: 200,
  },
  certificates: {
    method: 'GET',
    path: '/devices/:device/certificates',
    summary: 'Certificates issued to a device',
    access: 'viewer',
    response: z.object({ items: z.array(certificateSchema) }),
    status: 200,
  },
  revokeCertificates: {
    method: 'POST',
    path: '/devices/:device/certificates/revoke',
    summary: 'Revoke every certificate of a device; its connection is dropped at once',
    access: 'admin',
    body: z.object({ reason: z.string().max(200).default('revoked by an administrator') }),
    response: 'none',
    status: 204,
  },
});

export const anomalyRoutes = defineRoutes('anomalies', {
  list: {
    method: 'GET',
    path: '/anomalies',
    summary: 'Anomalies of the fleet',
    access: 'viewer',
    query: anomalyQuerySchema,
    response: pageOf(anomalyResourceSchema),
    status: 200,
  },
  get: {
    method: 'GET',
    path: '/devices/:device/anomalies/:anomaly',
    summary: 'One anomaly',
    access: 'viewer',
    response: anomalyResourceSchema,
    status: 200,
  },
});

export const tierRoutes = defineRoutes('tiers', {
  list: {
    method: 'GET',
    path: '/tiers',
    summary: 'Tiers, their preferred precisions and how many devices each has',
    access: 'viewer',
    response: z.object({
      items: z.array(z.object({ tier: tierSchema, precisions: z.array(z.string()), devices: z.number().int() })),
    }),
    status: 200,
  },
});

export const groupSchema = z.object({
  id: idSchema,
  name: nameSchema,
  /** A dynamic group has a filter; a static one has members. */
  filter: deviceFilterSchema.nullable(),
  devices: z.number().int(),
  createdAt: instantSchema,
});
export type Group = z.infer<typeof groupSchema>;

export const groupRoutes = defineRoutes('groups', {
  list: {
    method: 'GET',
    path: '/groups',
    summary: 'Groups',
    access: 'viewer',
    query: pageQuerySchema,
    response: pageOf(groupSchema),
    status: 200,
  },
  create: {
    method: 'POST',
    path: '/groups',
    summary: 'Create a static group (devices) or a dynamic one (filter)',
    access: 'operator',
    body: z.object({
      id: idSchema.optional(),
      name: nameSchema,
      filter: deviceFilterSchema.optional(),
      devices: z.array(idSchema).max(10_000).optional(),
    }),
    response: groupSchema,
    status: 201,
  },
  get: {
    method: 'GET',
    path: '/groups/:group',
    summary: 'One group',
    access: 'viewer',
    response: groupSchema,
    status: 200,
  },
  addDevices: {
    method: 'POST',
    path: '/groups/:group/devices',
    summary: 'Add devices to a static group',
    access: 'operator',
    body: z.object({ devices: z.array(idSchema).min(1).max(10_000) }),
    response: groupSchema,
    status: 200,
  },
  removeDevice: {
    method: 'DELETE',
    path: '/groups/:group/devices/:device',
    summary: 'Take a device out of a static group',
    access: 'operator',
    response: 'none',
    status: 204,
  },
  remove: {
    method: 'DELETE',
    path: '/groups/:group',
    summary: 'Delete a group',
    access: 'operator',
    response: 'none',
    status: 204,
  },
});

export const enrolmentTokenSchema = z.object({
  id: idSchema,
  name: nameSchema,
  maxUses: z.number().int(),
  uses: z.number().int(),
  group: idSchema.nullable(),
  /** Set: the token re-enrols (or replaces the hardware of) this device under its present id. */
  device: idSchema.nullable(),
  createdAt: instantSchema,
  expiresAt: instantSchema,
  revokedAt: instantSchema.nullable(),
});
export type EnrolmentToken = z.infer<typeof enrolmentTokenSchema>;

export const enrolmentTokenRoutes = defineRoutes('enrolment-tokens', {
  list: {
    method: 'GET',
    path: '/enrolment-tokens',
    summary: 'Enrolment tokens',
    access: 'operator',
    query: pageQuerySchema,
    response: pageOf(enrolmentTokenSchema),
    status: 200,
  },
  create: {
    method: 'POST',
    path: '/enrolment-tokens',
    summary: 'Create an enrolment token; the token is shown in this answer only',
    access: 'operator',
    body: z.object({
      name: nameSchema.default('enrolment token'),
      maxUses: z.number().int().min(1).max(100_000).default(1),
      expiresInMinutes: z.number().int().min(1).max(525_600).default(1_440),
      group: idSchema.optional(),
      device: idSchema.optional(),
    }),
    response: enrolmentTokenSchema.extend({ token: z.string(), url: z.string() }),
    status: 201,
  },
  revoke: {
    method: 'DELETE',
    path: '/enrolment-tokens/:id',
    summary: 'Revoke an enrolment token',
    access: 'operator',
    response: 'none',
    status: 204,
  },
});

export const rejectSchema = z.object({
  id: z.string(),
  device: idSchema,
  topic: z.string(),
  code: z.string(),
  message: z.string(),
  receivedAt: instantSchema,
  /** The first bytes of what was refused, base64. */
  payload: z.string(),
  sizeBytes: z.number().int(),
});

export const rejectRoutes = defineRoutes('rejects', {
  list: {
    method: 'GET',
    path: '/rejects',
    summary: 'Messages that were acknowledged and set aside because their content was invalid',
    access: 'viewer',
    query: pageQuerySchema.extend({ device: idSchema.optional(), code: z.string().max(64).optional() }),
    response: pageOf(rejectSchema),
    status: 200,
  },
});
