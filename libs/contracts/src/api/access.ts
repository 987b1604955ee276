import { z } from 'zod';
import { KEY_PURPOSES } from '../envelope.ts';
import { idSchema, instantSchema, nameSchema } from '../ids.ts';
import { roleSchema } from '../statuses.ts';
import { defineRoutes, pageOf, pageQuerySchema, sortBy } from './route.ts';

export const fleetSchema = z.object({ id: idSchema, name: nameSchema, createdAt: instantSchema });
export type Fleet = z.infer<typeof fleetSchema>;

export const fleetRoutes = defineRoutes('fleets', {
  list: {
    method: 'GET',
    path: '/fleets',
    summary: 'Fleets the key may see',
    access: 'any',
    query: pageQuerySchema,
    response: pageOf(fleetSchema),
    status: 200,
  },
  create: {
    method: 'POST',
    path: '/fleets',
    summary: 'Create a fleet',
    access: 'instance',
    body: z.object({ id: idSchema, name: nameSchema }),
    response: fleetSchema,
    status: 201,
  },
  get: {
    method: 'GET',
    path: '/fleets/:fleet',
    summary: 'One fleet',
    access: 'any',
    response: fleetSchema,
    status: 200,
  },
});

export const apiKeySchema = z.object({
  id: idSchema,
  name: nameSchema,
  /** null: instance administrator. */
  fleet: idSchema.nullable(),
  role: roleSchema,
  /** The first characters, to recognise a key by. */
  prefix: z.string(),
  createdAt: instantSchema,
  expiresAt: instantSchema.nullable(),
  lastUsedAt: instantSchema.nullable(),
  revokedAt: instantSchema.nullable(),
});
export type ApiKey = z.infer<typeof apiKeySchema>;

export const apiKeyRoutes = defineRoutes('api-keys', {
  list: {
    method: 'GET',
    path: '/api-keys',
    summary: 'API keys of the fleet',
    access: 'admin',
    query: pageQuerySchema,
    response: pageOf(apiKeySchema),
    status: 200,
  },
  create: {
    method: 'POST',
    path: '/api-keys',
    summary: 'Create an API key; its secret is shown in this answer only',
    access: 'admin',
    body: z.object({ name: nameSchema, role: roleSchema, expiresInDays: z.number().int().min(1).max(3650).optional() }),
    response: apiKeySchema.extend({ secret: z.string() }),
    status: 201,
  },
  revoke: {
    method: 'DELETE',
    path: '/api-keys/:id',
    summary: 'Revoke an API key',
    access: 'admin',
    response: 'none',
    status: 204,
  },
});

export const auditEntrySchema = z.object({
  id: z.string(),
  at: instantSchema,
  fleet: idSchema.nullable(),
  actor: z.string(),
  action: z.string(),
  subject: z.string(),
  /** HTTP status of the answer. */
  status: z.number().int(),
  details: z.record(z.string(), z.unknown()),
});
export type AuditEntry = z.infer<typeof auditEntrySchema>;

export const auditRoutes = defineRoutes('audit', {
  list: {
    method: 'GET',
    path: '/audit',
    summary: 'Who changed what, newest first',
    access: 'admin',
    query: pageQuerySchema.extend({
      action: z.string().max(100).optional(),
      actor: z.string().max(120).optional(),
      sort: sortBy(['at'], '-at'),
    }),
    response: pageOf(auditEntrySchema),
    status: 200,
  },
});

export const eventSchema = z.object({
  /** `Last-Event-ID`: opaque, grows in commit order. */
  id: z.string(),
  fleet: idSchema,
  type: z.string(),
  subject: z.string(),
  at: instantSchema,
  data: z.record(z.string(), z.unknown()),
});
export type FleetEvent = z.infer<typeof eventSchema>;

export const eventRoutes = defineRoutes('events', {
  stream: {
    method: 'GET',
    path: '/events',
    summary: 'Server-sent events in commit order; resume with Last-Event-ID',
    access: 'viewer',
    query: z.object({
      /** Event types to send, comma-separated; a trailing `*` matches a family (`rollout.*`). */
      types: z.string().max(500).optional(),
      /** Start after this id; `0` sends all that is kept. Without it and without Last-Event-ID: only what is new. */
      after: z.string().max(100).optional(),
    }),
    response: 'events',
    status: 200,
  },
});

/** The public half of a key that signs what devices trust. */
export const signingKeySchema = z.object({
  id: idSchema,
  purpose: z.enum(['root', ...KEY_PURPOSES]),
  /** Ed25519, base64url. */
  publicKey: z.string(),
  createdAt: instantSchema,
  /** Set: devices that have the newest key set do not accept it any more. */
  retiredAt: instantSchema.nullable(),
});
export type SigningKeyResource = z.infer<typeof signingKeySchema>;

export const signingKeysSchema = z.object({
  /** Of the key set that devices are sent. */
  version: z.number().int(),
  /** What devices pin when they enrol. */
  rootKey: z.string(),
  items: z.array(signingKeySchema),
});

export const keyRoutes = defineRoutes('keys', {
  list: {
    method: 'GET',
    path: '/keys',
    summary: 'Keys that sign instructions and manifests, and the version of the key set',
    access: 'instance',
    response: signingKeysSchema,
    status: 200,
  },
  rotate: {
    method: 'POST',
    path: '/keys/:purpose/rotate',
    summary: 'Make a new key for a purpose (twin, manifest); the old ones stay accepted until they are retired',
    access: 'instance',
    response: signingKeysSchema,
    status: 200,
  },
  retire: {
    method: 'POST',
    path: '/keys/:purpose/retire',
    summary: 'Withdraw all but the newest key of a purpose',
    access: 'instance',
    response: signingKeysSchema,
    status: 200,
  },
});
