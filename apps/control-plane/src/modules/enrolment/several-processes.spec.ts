import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { api } from '@drover/contracts';
import { verifyKeySet } from '@drover/trust';
import { Aedes } from 'aedes';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Database } from '../../platform/database/database.ts';
import { KeyStore } from '../../platform/keys/key-store.ts';
import { testApp } from '../../test-app.fixture.ts';
import type { TestApp } from '../../test-app.fixture.ts';
import { chainOf, enrolmentOf } from './enrolment.fixture.ts';

// Two control planes on one database, as when the roles run in processes of their own.
let one: TestApp;
let two: TestApp;
/** Several gateways need a broker between them. */
let broker: Aedes;
const sockets = createServer((socket) => broker.handle(socket));
beforeAll(async () => {
  broker = await Aedes.createBroker();
  await new Promise<void>((resolve) => sockets.listen(0, '127.0.0.1', resolve));
  const MQTT_URL = `mqtt://127.0.0.1:${(sockets.address() as AddressInfo).port}`;
  const env = { DROVER_MASTER_KEY: randomBytes(32).toString('base64'), MQTT_URL };
  one = await testApp(env);
  const { connectionString } = one.controlPlane.app.get(Database);
  two = await testApp({ ...env, DATABASE_URL: connectionString, DROVER_ROLES: 'gateway' });
});
afterAll(async () => {
  await two.stop();
  await one.stop();
  await new Promise<void>((resolve) => broker.close(resolve));
  sockets.close();
});

const urlOf = (app: TestApp) => app.controlPlane.listeners['device-https']!;
const keysOf = (app: TestApp) => app.controlPlane.app.get(KeyStore);

describe('two processes on one database', () => {
  it('show the same certificate, and accept the devices that the other one has enrolled', async () => {
    const [first] = await chainOf(urlOf(one));
    const [second] = await chainOf(urlOf(two));
    expect(second!.fingerprint256).toBe(first!.fingerprint256);
    const { credentials } = await enrolmentOf(one).newDevice();
    expect((await enrolmentOf(two).renew(credentials)).answer.status).toBe(200);
  });

  it('refuse a certificate as soon as the other one has answered that it is revoked', async () => {
    const { credentials, device } = await enrolmentOf(one).newDevice();
    expect((await enrolmentOf(two).renew(credentials)).answer.status).toBe(200);
    expect((await one.request('POST', `/devices/${device}/certificates/revoke`, {})).status).toBe(204);
    expect((await enrolmentOf(two).renew(credentials)).answer.status).toBe(401);
  });

  it('sign with a new key both, after one has rotated, and devices accept the new key set', async () => {
    const { rootKey, keys } = await enrolmentOf(one).newDevice();
    const before = keysOf(two).signers('twin')[0]!.keyId;
    const { status, body } = await one.request('POST', '/keys/twin/rotate');
    expect(status).toBe(200);
    const listed = api.keys.rotate.response.parse(body);
    const twinKeys = listed.items.filter((key) => key.purpose === 'twin');
    expect(twinKeys).toHaveLength(2);
    expect(keysOf(one).signers('twin')[0]!.keyId).toBe(twinKeys[1]!.id);
    await vi.waitFor(() => expect(keysOf(two).signers('twin')[0]!.keyId).toBe(twinKeys[1]!.id), 5_000);
    const old = verifyKeySet(keys, rootKey, 0);
    const fresh = verifyKeySet(keysOf(two).keySet, rootKey, old.version);
    expect(fresh.version).toBe(listed.version);
    expect(fresh.keys.map((key) => key.keyId)).toEqual(expect.arrayContaining([before, twinKeys[1]!.id]));
    const retired = api.keys.retire.response.parse((await one.request('POST', '/keys/twin/retire')).body);
    expect(retired.items.find((key) => key.id === before)?.retiredAt).not.toBeNull();
    const last = verifyKeySet(keysOf(one).keySet, rootKey, fresh.version);
    expect(last.keys.map((key) => key.keyId)).not.toContain(before);
    expect(() => verifyKeySet(keys, rootKey, last.version)).toThrow(/older/);
  });

  it('lose no key when both rotate at once', async () => {
    const before = await one.request('GET', '/keys');
    const rotations = [one, two].flatMap((app) => ['twin', 'manifest'].map((purpose) => ({ app, purpose })));
    const { SigningKeysService } = await import('./keys/signing-keys.service.ts');
    await Promise.all(
      rotations.map(({ app, purpose }) => app.controlPlane.app.get(SigningKeysService).rotate(purpose)),
    );
    await keysOf(one).reload();
    const { keys, version } = verifyKeySet(keysOf(one).keySet, keysOf(one).rootPublicKey, 0);
    const current = before.body.items.filter((key: any) => key.retiredAt === null && key.purpose !== 'root');
    expect(version).toBe(before.body.version + 4);
    expect(keys).toHaveLength(current.length + 4);
  });

  it('know no keys for another purpose, and show them to the instance administrator only', async () => {
    expect((await one.request('POST', '/keys/root/rotate')).status).toBe(404);
    expect((await one.request('POST', '/keys/other/retire')).status).toBe(404);
    const { body } = await one.request('POST', '/api-keys', { name: 'x', role: 'admin' });
    for (const [method, path] of [
      ['GET', '/keys'],
      ['POST', '/keys/twin/rotate'],
    ] as const)
      expect((await one.request(method, path, undefined, { key: body.secret })).status).toBe(403);
  });
});
