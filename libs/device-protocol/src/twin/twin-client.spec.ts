import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeJson, MAX_TWIN_BYTES } from '@drover/contracts';
import type { KeySet } from '@drover/contracts';
import { generateKeyPair, signEnvelope, signKeySet } from '@drover/trust';
import type { KeyPair, UnsignedEnvelope } from '@drover/trust';
import { TwinClient } from './twin-client.ts';
import type { TwinClientOptions } from './twin-client.ts';

const NOW = Date.parse('2026-11-20T12:00:00Z');
const root = generateKeyPair();
const key = generateKeyPair();

function keysOf(version: number, keys: readonly KeyPair[], by: KeyPair = root) {
  const keySet: KeySet = {
    format: 'drover.keys/1',
    version,
    issuedAt: '2026-11-01T00:00:00Z',
    keys: keys.map(({ keyId, publicKey }) => ({ keyId, publicKey, purposes: ['twin', 'manifest'] })),
  };
  return signKeySet(keySet, by);
}

const keys = keysOf(2, [key]);

function clientOf(options: Partial<TwinClientOptions> = {}): TwinClient {
  return new TwinClient({
    identity: { fleet: 'main', device: 'd-1', rootKey: root.publicKey },
    keys,
    seen: null,
    clock: { now: () => NOW, monotonic: () => 0 },
    ...options,
  });
}

function desired(
  change: Partial<UnsignedEnvelope> = {},
  signers: readonly KeyPair[] = [key],
  withKeys: unknown = keys,
) {
  const envelope: UnsignedEnvelope = {
    kind: 'twin',
    fleet: 'main',
    device: 'd-1',
    epoch: 1,
    version: 7,
    issuedAt: '2026-11-20T11:59:00Z',
    expiresAt: '2026-11-20T13:00:00Z',
    payload: { format: 'drover.desired/1', keys: withKeys, pipelines: {} },
    ...change,
  };
  return encodeJson(signEnvelope(envelope, signers));
}

const command = (payload: unknown, change: Partial<UnsignedEnvelope> = {}): Uint8Array =>
  desired({ kind: 'command', payload, ...change });

describe('a desired document', () => {
  it('is accepted when it is authentic, ours and new, with its defaults filled in', () => {
    const outcome = clientOf().receive(desired());
    expect(outcome).toMatchObject({
      kind: 'accepted',
      order: { epoch: 1, version: 7 },
      rollback: false,
      newKeys: null,
      desired: { pipelines: {}, config: { heartbeatMs: 30_000 } },
    });
  });

  it('counts as seen once it was adopted, so that what could not be stored comes again', () => {
    const client = clientOf();
    expect(client.receive(desired()).kind).toBe('accepted');
    expect(client.receive(desired()).kind).toBe('accepted');
    client.adopt({ epoch: 1, version: 7 });
    expect(client.receive(desired())).toEqual({ kind: 'unchanged', order: { epoch: 1, version: 7 }, newKeys: null });
    expect(client.receive(desired({ version: 8 })).kind).toBe('accepted');
  });

  it('is refused where it is older, unless it is signed as a rollback within its epoch', () => {
    const client = clientOf({ seen: { epoch: 1, version: 7 } });
    expect(client.receive(desired({ version: 6 }))).toMatchObject({ kind: 'rejected', reason: 'downgrade-refused' });
    expect(client.receive(desired({ version: 6, rollback: true }))).toMatchObject({ kind: 'accepted', rollback: true });
    expect(client.receive(desired({ epoch: 0, version: 90, rollback: true }))).toMatchObject({ kind: 'rejected' });
    expect(client.receive(desired({ epoch: 2, version: 1 })).kind).toBe('accepted');
  });

  it('is refused with the reason that an execution reports', () => {
    const stranger = generateKeyPair();
    const reasons = [
      desired({ device: 'd-2' }),
      desired({ fleet: 'other' }),
      desired({ expiresAt: '2026-11-20T11:54:59Z' }),
      desired({}, [stranger]),
      desired({ kind: 'command' }),
      Buffer.from('nonsense'),
      desired({ payload: { format: 'drover.desired/9', keys, pipelines: {} } }),
      Buffer.alloc(MAX_TWIN_BYTES + 1, '{'),
    ].map((bytes) => {
      const outcome = clientOf().receive(bytes);
      return outcome.kind === 'rejected' ? `${outcome.reason} ${outcome.error.code}` : outcome.kind;
    });
    expect(reasons).toEqual([
      'envelope-foreign envelope-foreign',
      'envelope-foreign envelope-foreign',
      'envelope-expired envelope-expired',
      'signature-invalid key-unknown',
      'signature-invalid kind-mismatch',
      'signature-invalid document-malformed',
      'internal desired-invalid',
      'internal document-too-large',
    ]);
  });

  it('never makes it throw, whatever arrives', () => {
    const good = desired();
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const bytes = Uint8Array.from(good);
        bytes[at]! ^= mask;
        expect(clientOf().receive(bytes).kind).toBe('rejected');
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          expect(clientOf().receive(bytes).kind).toBe('rejected');
        },
      ),
    );
  });
});

describe('the rotation of keys', () => {
  const next = generateKeyPair();

  it('arrives with the first document that the new key signed', () => {
    const client = clientOf();
    const rotated = keysOf(3, [next]);
    const outcome = client.receive(desired({}, [next], rotated));
    expect(outcome).toMatchObject({ kind: 'accepted', newKeys: rotated });
    expect(client.keySet.version).toBe(3);
    expect(client.receive(desired({ version: 8 }, [key], rotated))).toMatchObject({ reason: 'signature-invalid' });
  });

  it('is taken from the root only, and never backwards', () => {
    const forged = clientOf();
    const outcome = forged.receive(desired({}, [next], keysOf(9, [next], next)));
    expect(outcome).toMatchObject({ kind: 'rejected', reason: 'signature-invalid', newKeys: null });
    expect(forged.keySet.version).toBe(2);
    const ahead = clientOf({ keys: keysOf(5, [key]) });
    expect(ahead.receive(desired({}, [next], keysOf(4, [next])))).toMatchObject({ reason: 'signature-invalid' });
    // An older set does no harm to a document that today's keys sign.
    expect(ahead.receive(desired({}, [key], keysOf(4, [next])))).toMatchObject({ kind: 'accepted', newKeys: null });
    expect(ahead.keySet.version).toBe(5);
  });

  it('counts even where the document around it is refused: keys that were withdrawn are withdrawn', () => {
    const client = clientOf();
    const rotated = keysOf(3, [next]);
    expect(client.receive(desired({ device: 'd-2' }, [next], rotated))).toMatchObject({
      kind: 'rejected',
      reason: 'envelope-foreign',
      newKeys: rotated,
    });
    expect(client.receive(desired({}, [key]))).toMatchObject({ kind: 'rejected' });
  });

  it('cannot start from a key set that another root signed', () => {
    expect(() => clientOf({ keys: keysOf(1, [key], next) })).toThrow(/root/);
  });
});

describe('a command', () => {
  it('is accepted from the topic that it is signed for', () => {
    const bytes = command({ type: 'erase', id: 'c-1' });
    const client = clientOf();
    expect(client.receiveCommand({ type: 'erase', id: 'c-1', bytes })).toMatchObject({
      kind: 'accepted',
      command: { type: 'erase', id: 'c-1' },
    });
    expect(client.receiveCommand({ type: 'renew', id: 'c-1', bytes })).toMatchObject({ reason: 'envelope-foreign' });
    expect(client.receiveCommand({ type: 'erase', id: 'c-2', bytes })).toMatchObject({ reason: 'envelope-foreign' });
  });

  it('is refused where it is for another device, is a twin, or is not known', () => {
    const on = { type: 'erase', id: 'c-1' };
    const client = clientOf();
    const foreign = command(on, { device: 'd-2' });
    expect(client.receiveCommand({ ...on, bytes: foreign })).toMatchObject({ reason: 'envelope-foreign' });
    expect(client.receiveCommand({ ...on, bytes: desired() })).toMatchObject({ reason: 'signature-invalid' });
    const unknown = command({ type: 'dance', id: 'c-1' });
    expect(client.receiveCommand({ ...on, bytes: unknown })).toMatchObject({ reason: 'internal' });
  });
});
