import { z } from 'zod';
import { idSchema, nameSchema, tagsSchema } from './ids.ts';
import { envelopeSchema, signedDocumentSchema } from './envelope.ts';
import { problemSchema } from './problem.ts';
import { hardwareProfileSchema } from './tiers.ts';

/**
 * An enrolment token as a person hands it on: `drover1.<authority pin>.<secret>`. The pin is the SHA-256 of the authority's
 * public key (SPKI), base64url: the agent checks the server's chain against it before it sends the secret.
 */
export const ENROLMENT_TOKEN_PATTERN = /^drover1\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{32,64})$/;

export function parseEnrolmentToken(token: string): { pin: string; secret: string } | null {
  const match = ENROLMENT_TOKEN_PATTERN.exec(token.trim());
  return match ? { pin: match[1]!, secret: match[2]! } : null;
}

const pemSchema = z.string().max(16_384);

/** `POST /enrol` on the device listener. */
export const enrolRequestSchema = z.object({
  token: z.string().regex(ENROLMENT_TOKEN_PATTERN),
  /** PKCS#10 in PEM; only its public key and proof of possession are used. */
  csr: pemSchema,
  profile: hardwareProfileSchema,
  name: nameSchema.optional(),
  tags: tagsSchema.optional(),
  /** Pipelines configured on the device: what rollouts can aim at. */
  pipelines: z.array(idSchema).max(64).default([]),
});
export type EnrolRequest = z.input<typeof enrolRequestSchema>;

/** What a device knows of its server. */
export const enrolResponseSchema = z.object({
  fleet: idSchema,
  device: idSchema,
  /** The device's incarnation: rises with every enrolment under the same id. */
  epoch: z.number().int().min(0),
  certificate: pemSchema,
  /** Accepted authorities, PEM, possibly several while they overlap. */
  authorities: z.array(pemSchema).min(1).max(8),
  /** Ed25519 public key of the root that signs the key set, base64url. */
  rootKey: z.base64url().max(64),
  keys: signedDocumentSchema,
  mqtt: z.object({ urls: z.array(z.string().max(300)).min(1).max(8) }),
  https: z.object({ urls: z.array(z.string().max(300)).min(1).max(8) }),
});
export type EnrolResponse = z.infer<typeof enrolResponseSchema>;

/** `POST /renew` on the device listener, with the present certificate. */
export const renewRequestSchema = z.object({ csr: pemSchema, profile: hardwareProfileSchema.optional() });
export const renewResponseSchema = z.object({
  certificate: pemSchema,
  authorities: z.array(pemSchema).min(1).max(8),
  mqtt: enrolResponseSchema.shape.mqtt,
  https: enrolResponseSchema.shape.https,
});
export type RenewResponse = z.infer<typeof renewResponseSchema>;

/**
 * The refusal (401) of a certificate whose device was decommissioned while it was away: it carries the order to erase, signed like
 * every command, which could not be delivered over MQTT any more.
 */
export const decommissionedProblemSchema = problemSchema.extend({
  code: z.literal('device-decommissioned'),
  erase: envelopeSchema,
});
export type DecommissionedProblem = z.infer<typeof decommissionedProblemSchema>;
