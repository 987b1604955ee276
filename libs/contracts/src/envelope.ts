import { z } from 'zod';
import { idSchema, instantSchema } from './ids.ts';

/** Ed25519 over the canonical JSON (RFC 8785) of the signed document without its `signatures`. */
export const signatureSchema = z.object({
  keyId: idSchema,
  signature: z.base64url().max(128),
});
export type Signature = z.infer<typeof signatureSchema>;

/** What an envelope may carry: part of what is signed, so that one kind can never be passed off as another. */
export const ENVELOPE_KINDS = ['twin', 'command'] as const;

/** A signed instruction for one device. */
export const envelopeSchema = z.object({
  kind: z.enum(ENVELOPE_KINDS),
  fleet: idSchema,
  device: idSchema,
  /** Rises when the database is restored: a lower version of a higher epoch is newer. */
  epoch: z.number().int().min(0),
  version: z.number().int().min(0),
  issuedAt: instantSchema,
  expiresAt: instantSchema,
  /** True where a lower version is meant: the only way back. */
  rollback: z.boolean().optional(),
  payload: z.unknown(),
  signatures: z.array(signatureSchema).min(1).max(8),
});
export type Envelope = z.infer<typeof envelopeSchema>;

/** Any signed document that is not bound to a device: a manifest, a key set. */
export const signedDocumentSchema = z.object({
  kind: z.enum(['manifest', 'keys']),
  payload: z.unknown(),
  signatures: z.array(signatureSchema).min(1).max(8),
});
export type SignedDocument = z.infer<typeof signedDocumentSchema>;

export const KEY_PURPOSES = ['twin', 'manifest'] as const;
export type KeyPurpose = (typeof KEY_PURPOSES)[number];

/** The keys an agent accepts, signed by the root key that it pinned at enrolment. Versions only grow. */
export const keySetSchema = z.object({
  format: z.literal('drover.keys/1'),
  version: z.number().int().min(1),
  issuedAt: instantSchema,
  keys: z
    .array(
      z.object({
        keyId: idSchema,
        /** Ed25519 public key, 32 bytes. */
        publicKey: z.base64url().max(64),
        purposes: z.array(z.enum(KEY_PURPOSES)).min(1),
        notAfter: instantSchema.optional(),
      }),
    )
    .min(1)
    .max(16),
});
export type KeySet = z.infer<typeof keySetSchema>;
