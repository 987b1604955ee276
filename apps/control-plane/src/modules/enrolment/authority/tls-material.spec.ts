import { X509Certificate } from 'node:crypto';
import { silentLogger } from '@drover/runtime';
import { MasterKey } from '../../../platform/keys/master-key.ts';
import { KeyStore } from '../../../platform/keys/key-store.ts';
import { DeviceIdentity } from '../../../platform/broker/device-identity.ts';
import { testDatabase } from '../../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../../platform/database/test-database.fixture.ts';
import { Config } from '../../../config/config.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuthorityRepository } from './authority.repository.ts';
import { CertificateAuthority } from './certificate-authority.service.ts';
import { TlsMaterialService } from './tls-material.service.ts';

const DAY = 86_400_000;
const masterKey = new MasterKey(Buffer.alloc(32, 7));
let test: TestDatabase;
beforeAll(async () => {
  test = await testDatabase();
});
afterAll(() => test.stop());

/** One process's part of the module, with a clock of its own. */
function processAt(start: number, env: Record<string, string> = {}) {
  let now = start;
  const clock = { now: () => now, monotonic: () => now };
  const config = new Config(env);
  const keys = new KeyStore(test.database, masterKey);
  const authorities = new AuthorityRepository(test.database);
  const authority = new CertificateAuthority(authorities, keys, config, clock);
  const identity = new DeviceIdentity();
  const { listener } = test;
  const service = new TlsMaterialService(authority, authorities, keys, identity, listener, config, clock, silentLogger);
  return {
    authority,
    identity,
    refresh: () => service.refresh(),
    pass: (ms: number) => (now += ms),
    stop: () => service.beforeApplicationShutdown(),
    leaf: () => new X509Certificate(identity.material.cert),
  };
}

describe('the material of the listeners', () => {
  it('is made once, by whichever of several processes comes first, and shared by all', async () => {
    const start = Date.now();
    const all = Array.from({ length: 4 }, () => processAt(start));
    await Promise.all(all.map((one) => one.refresh()));
    const [first] = all;
    for (const one of all) {
      expect(one.identity.material).toEqual(first!.identity.material);
      expect(one.authority.serving.pin).toBe(first!.authority.serving.pin);
      await one.stop();
    }
    expect(await test.database.prisma.authority.count()).toBe(1);
    expect(await test.database.prisma.secret.count({ where: { name: { startsWith: 'server-certificate/' } } })).toBe(1);
  });

  it('is the same after a restart, and another one for other hosts', async () => {
    const before = processAt(Date.now());
    await before.refresh();
    await before.stop();
    const after = processAt(Date.now() + DAY);
    await after.refresh();
    expect(after.identity.material).toEqual(before.identity.material);
    await after.stop();
    const moved = processAt(Date.now(), { DROVER_PUBLIC_HOSTS: 'Drover.example,192.0.2.7' });
    await moved.refresh();
    expect(moved.leaf().fingerprint256).not.toBe(before.leaf().fingerprint256);
    expect(moved.leaf().subjectAltName).toBe(
      'DNS:drover.example, IP Address:192.0.2.7, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
    );
    expect(moved.identity.material.ca).toEqual(before.identity.material.ca);
    await moved.stop();
  });

  it('is renewed after two thirds of its life, and the listeners are told once', async () => {
    const one = processAt(Date.now());
    await one.refresh();
    const first = one.leaf();
    let told = 0;
    one.identity.onMaterialChange(() => (told += 1));
    one.pass(59 * DAY);
    await one.refresh();
    expect(told).toBe(0);
    one.pass(2 * DAY);
    await one.refresh();
    await one.refresh();
    expect(told).toBe(1);
    expect(one.leaf().fingerprint256).not.toBe(first.fingerprint256);
    expect(one.leaf().validToDate.getTime()).toBeGreaterThan(first.validToDate.getTime());
    await one.stop();
  });

  it('goes over to a new authority without a device that does not know it: both are accepted for long before', async () => {
    const one = processAt(Date.now());
    await one.refresh();
    const old = one.authority.serving;
    one.pass(3_650 * DAY - 269 * DAY);
    await one.refresh();
    expect(one.identity.material.ca).toHaveLength(2);
    expect(one.authority.serving.pin).toBe(old.pin);
    one.pass(180 * DAY);
    await one.refresh();
    expect(one.authority.serving.pin).not.toBe(old.pin);
    const authority = new X509Certificate(one.authority.serving.pem);
    expect(one.leaf().verify(authority.publicKey)).toBe(true);
    expect(one.identity.material.ca).toHaveLength(2);
    one.pass(90 * DAY);
    await one.refresh();
    expect(one.identity.material.ca).toEqual([one.authority.serving.pem]);
    await one.stop();
  });

  it('cannot be opened with another master key, and says what to do', async () => {
    const keys = new KeyStore(test.database, new MasterKey(Buffer.alloc(32, 8)));
    const config = new Config({});
    const clock = { now: Date.now, monotonic: Date.now };
    const authority = new CertificateAuthority(new AuthorityRepository(test.database), keys, config, clock);
    await expect(authority.refresh()).rejects.toMatchObject({ code: 'master-key-mismatch' });
  });
});
