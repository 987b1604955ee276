import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isDeepStrictEqual } from 'node:util';
import { UntrustedError } from './errors.ts';
import { signEnvelope, verifyEnvelope } from './envelopes.ts';
import { generateKeyPair } from './keys.ts';
import { forDevice, key, keySetOf, NOW, unsigned } from './trust.fixture.ts';

const signed = signEnvelope(unsigned, [key]);

function failureOf(envelope: unknown, options: Partial<typeof forDevice> & { kind?: 'twin' | 'command' } = {}) {
  try {
    verifyEnvelope(envelope, { ...forDevice, ...options });
  } catch (error) {
    if (error instanceof UntrustedError) return { code: error.code, reason: error.reason };
    throw error;
  }
  return null;
}

describe('an envelope', () => {
  it('is accepted by the device it is meant for, also after a trip as JSON with its properties in another order', () => {
    expect(verifyEnvelope(signed, forDevice)).toEqual(signed);
    const received = JSON.parse(JSON.stringify(Object.fromEntries(Object.entries(signed).toReversed())));
    expect(verifyEnvelope(received, { ...forDevice, kind: 'twin' }).payload).toEqual(unsigned.payload);
  });

  it('is refused by every other device and fleet', () => {
    expect(failureOf(signed, { device: 'd-2' })).toEqual({ code: 'envelope-foreign', reason: 'envelope-foreign' });
    expect(failureOf(signed, { fleet: 'other' })).toEqual({ code: 'envelope-foreign', reason: 'envelope-foreign' });
  });

  it('is refused after its time, with the skew between the clocks allowed for', () => {
    const end = Date.parse(unsigned.expiresAt);
    expect(failureOf(signed, { now: end + 60_000 })).toBeNull();
    expect(failureOf(signed, { now: end + 60_001 })?.reason).toBe('envelope-expired');
    expect(failureOf(signed, { now: NOW - 10 * 365 * 86_400_000 })).toBeNull();
  });

  it('of one kind cannot be passed off as another', () => {
    expect(failureOf(signed, { kind: 'command' })?.code).toBe('kind-mismatch');
    expect(failureOf({ ...signed, kind: 'command' })?.code).toBe('signature-invalid');
  });

  it('needs one valid signature; those of unknown keys are ignored', () => {
    const stranger = generateKeyPair();
    expect(failureOf(signEnvelope(unsigned, [stranger, key]))).toBeNull();
    expect(failureOf(signEnvelope(unsigned, [stranger]))?.code).toBe('key-unknown');
    const spoiled = { ...signed, signatures: [{ ...signed.signatures[0]!, keyId: stranger.keyId }] };
    expect(failureOf(spoiled)?.code).toBe('key-unknown');
    expect(failureOf({ ...signed, signatures: [] })?.code).toBe('document-malformed');
  });

  it('is refused where the key may not sign instructions, or no longer', () => {
    expect(failureOf(signed, { keySet: keySetOf(3, [key], ['manifest']) })?.code).toBe('key-purpose');
    const until = keySetOf(3, [key], ['twin'], '2026-11-20T11:00:00Z');
    expect(failureOf(signed, { keySet: until })?.code).toBe('key-expired');
    expect(failureOf(signed, { keySet: until, now: Date.parse('2026-11-20T10:59:59Z') })).toBeNull();
  });

  it('covers fields that this version does not know', () => {
    const newer = signEnvelope({ ...unsigned, hint: 1 } as typeof unsigned, [key]);
    expect(failureOf(newer)).toBeNull();
    expect(failureOf({ ...newer, hint: 2 })?.code).toBe('signature-invalid');
    expect(failureOf({ ...signed, hint: 1 })?.code).toBe('signature-invalid');
  });

  it('is refused with a typed error where any byte is flipped, unless the bytes still say the same', () => {
    const bytes = Buffer.from(JSON.stringify(signed));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const flipped = Buffer.from(bytes);
        flipped[at]! ^= mask;
        let document: unknown;
        try {
          document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(flipped));
        } catch {
          return;
        }
        if (!isDeepStrictEqual(document, JSON.parse(bytes.toString()))) expect(failureOf(document)).not.toBeNull();
      }),
      { numRuns: 2_000 },
    );
  });

  it('never fails with anything but a typed error, whatever arrives', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(...Object.keys(signed)), (value, field) => {
        expect(failureOf(value)).not.toBeNull();
        const changed = { ...signed, [field]: value };
        if (!isDeepStrictEqual(changed, signed)) expect(failureOf(changed)).not.toBeNull();
      }),
    );
  });
});
