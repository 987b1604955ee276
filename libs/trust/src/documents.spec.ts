import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isDeepStrictEqual } from 'node:util';
import { canonicalBytes } from './canonical.ts';
import { signDocument, verifyDocument } from './documents.ts';
import { signEnvelope, verifyEnvelope } from './envelopes.ts';
import {
  DocumentMalformedError,
  KeyPurposeError,
  KeySetDowngradeError,
  KeyUnknownError,
  KindMismatchError,
  NotCanonicalError,
  SignatureInvalidError,
  UntrustedError,
} from './errors.ts';
import { signKeySet, verifyKeySet } from './key-sets.ts';
import { generateKeyPair } from './keys.ts';
import { forDevice, key, keySet, keySetOf, NOW, root, unsigned } from './trust.fixture.ts';

const options = { keySet, now: NOW };

describe('canonical JSON', () => {
  it('writes the example of RFC 8785', () => {
    const example = JSON.parse(
      String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
    );
    expect(canonicalBytes(example).toString()).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  it('is the same bytes for the same value, whatever the order of its properties', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()), (value) => {
        const turned = Object.fromEntries(Object.entries(value).toReversed());
        expect(canonicalBytes(turned)).toEqual(canonicalBytes(value));
      }),
    );
  });

  it('refuses what JSON cannot say', () => {
    for (const value of [Number.NaN, { a: Infinity }, ['\ud800'], undefined]) {
      expect(() => canonicalBytes(value)).toThrow(NotCanonicalError);
    }
  });
});

describe('a signed manifest', () => {
  const document = signDocument('manifest', { release: 'r-1', size: 3 }, [key]);

  it('gives its payload to whoever accepts its key for manifests', () => {
    expect(verifyDocument('manifest', document, options)).toEqual({ release: 'r-1', size: 3 });
  });

  it('is refused with a key for another purpose, as another kind, or malformed', () => {
    const twinOnly = { keySet: keySetOf(3, [key], ['twin']), now: NOW };
    expect(() => verifyDocument('manifest', document, twinOnly)).toThrow(KeyPurposeError);
    expect(() => verifyDocument('manifest', { ...document, kind: 'keys' }, options)).toThrow(KindMismatchError);
    expect(() => verifyDocument('manifest', { kind: 'manifest' }, options)).toThrow(DocumentMalformedError);
  });

  it('is refused where any byte is flipped', () => {
    const bytes = Buffer.from(JSON.stringify(document));
    for (let at = 0; at < bytes.length; at += 1) {
      for (const mask of [0x01, 0x02, 0x20, 0x80]) {
        const flipped = Buffer.from(bytes);
        flipped[at]! ^= mask;
        let received: unknown;
        try {
          received = JSON.parse(flipped.toString());
        } catch {
          continue;
        }
        if (isDeepStrictEqual(received, JSON.parse(bytes.toString()))) continue;
        expect(() => verifyDocument('manifest', received, options), `byte ${at} ^ ${mask}`).toThrow(UntrustedError);
      }
    }
  });
});

describe('a key set', () => {
  it('is taken from the pinned root only', () => {
    expect(verifyKeySet(signKeySet(keySet, root), root.publicKey, 0)).toEqual(keySet);
    expect(() => verifyKeySet(signKeySet(keySet, key), root.publicKey, 0)).toThrow(KeyUnknownError);
    const forged = { ...signKeySet(keySet, root), payload: keySetOf(9, [generateKeyPair()], ['twin']) };
    expect(() => verifyKeySet(forged, root.publicKey, 0)).toThrow(SignatureInvalidError);
  });

  it('only grows: the same version again is fine, an older one is not', () => {
    const document = signKeySet(keySet, root);
    expect(verifyKeySet(document, root.publicKey, 3).version).toBe(3);
    expect(() => verifyKeySet(document, root.publicKey, 4)).toThrow(KeySetDowngradeError);
  });

  it('is refused where a key in it is none', () => {
    const broken = { ...keySet, keys: [{ ...keySet.keys[0]!, publicKey: 'AAAA' }] };
    expect(() => verifyKeySet(signKeySet(broken, root), root.publicKey, 0)).toThrow(DocumentMalformedError);
  });

  it('rotates: old and new key while both are accepted, then the new one alone', () => {
    const next = generateKeyPair();
    const both = verifyKeySet(signKeySet(keySetOf(4, [key, next], ['twin']), root), root.publicKey, 3);
    const after = verifyKeySet(signKeySet(keySetOf(5, [next], ['twin']), root), root.publicKey, 4);
    const [byOld, byNew, byBoth] = [[key], [next], [key, next]].map((keys) => signEnvelope(unsigned, keys));
    const accepts = (set: typeof both, envelope: unknown): boolean => {
      try {
        return verifyEnvelope(envelope, { ...forDevice, keySet: set }) !== null;
      } catch {
        return false;
      }
    };
    expect([byOld, byNew, byBoth].map((envelope) => accepts(keySet, envelope))).toEqual([true, false, true]);
    expect([byOld, byNew, byBoth].map((envelope) => accepts(both, envelope))).toEqual([true, true, true]);
    expect([byOld, byNew, byBoth].map((envelope) => accepts(after, envelope))).toEqual([false, true, true]);
  });
});
