import { X509Certificate } from 'node:crypto';
import {
  decommissionedProblemSchema,
  enrolResponseSchema,
  keySetSchema,
  parseEnrolmentToken,
  problemSchema,
} from '@drover/contracts';
import { verifyEnvelope, verifyKeySet } from '@drover/trust';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database } from '../../platform/database/database.ts';
import { testApp } from '../../test-app.fixture.ts';
import type { TestApp } from '../../test-app.fixture.ts';
import { PI_4 } from '../devices/devices.fixture.ts';
import { createAuthority, issueDeviceCertificate } from './authority/issue-certificate.ts';
import { readCertificateRequest } from './authority/certificate-request.ts';
import { importIssuer } from './authority/import-issuer.ts';
import { call, chainOf, enrolmentOf, newRequest, pinOfCertificate } from './enrolment.fixture.ts';

let app: TestApp;
let enrolment: ReturnType<typeof enrolmentOf>;
let database: Database;
beforeAll(async () => {
  app = await testApp({ DROVER_PUBLIC_HOSTS: 'localhost,127.0.0.1' });
  enrolment = enrolmentOf(app);
  database = app.controlPlane.app.get(Database);
  await app.request('POST', '/fleets', { id: 'other', name: 'Other' });
});
afterAll(() => app.stop());

/** Failures are counted by address; every test that fails on purpose has one of its own. */
let lastAddress = 10;
const ownAddress = () => ({ localAddress: `127.0.0.${++lastAddress}` });

describe('enrolment', () => {
  it('gives a device an identity, after it has checked the server against the pin of its token', async () => {
    const { token, url } = await enrolment.token();
    const chain = await chainOf(url);
    const authority = chain.find((one) => one.ca)!;
    expect(pinOfCertificate(authority)).toBe(parseEnrolmentToken(token)!.pin);
    const device = await enrolment.enrol(token, { ca: authority.toString(), name: 'Pump 1', tags: { hall: '2' } });
    const answer = enrolResponseSchema.parse(device);
    expect(answer).toMatchObject({ fleet: 'default', epoch: 1, https: { urls: [url, expect.stringMatching(/127/)] } });
    expect(answer.mqtt.urls[0]).toMatch(/^mqtts:\/\/localhost:\d+$/);
    expect(keySetSchema.safeParse(verifyKeySet(answer.keys, answer.rootKey, 0)).success).toBe(true);
    const { body } = await app.request('GET', `/devices/${answer.device}`);
    expect(body).toMatchObject({
      id: answer.device,
      name: 'Pump 1',
      tags: { hall: '2' },
      tier: 'pi-4',
      pipelines: ['main'],
    });
  });

  it('issues a certificate that says who the device is, whatever its request said', async () => {
    const device = await enrolment.newDevice();
    const certificate = new X509Certificate(device.certificate);
    const authority = new X509Certificate(device.authorities[0]!);
    expect(certificate.verify(authority.publicKey)).toBe(true);
    expect(certificate.checkIssued(authority)).toBe(true);
    expect(certificate.subject).toBe(`CN=${device.device}\nO=default`);
    expect(certificate.subjectAltName).toBe(`URI:urn:drover:default:${device.device}`);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    expect(certificate.ca).toBe(false);
    expect(certificate.serialNumber).toMatch(/^[0-9A-F]{32}$/);
    const days = (certificate.validToDate.getTime() - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(89.9);
    expect(days).toBeLessThanOrEqual(90);
    const { body } = await app.request('GET', `/devices/${device.device}/certificates`);
    expect(body.items).toMatchObject([{ serial: certificate.serialNumber.toLowerCase(), revokedAt: null }]);
  });

  it('puts the device into the group of its token', async () => {
    await app.request('POST', '/groups', { id: 'newcomers', name: 'Newcomers' });
    const { token } = await enrolment.token({ group: 'newcomers' });
    const { device } = await enrolment.enrol(token);
    expect((await app.request('GET', `/devices/${device}`)).body.groups).toEqual(['newcomers']);
  });

  it('keeps no secret: neither of the token nor of any private key in the clear', async () => {
    const { token } = await enrolment.token();
    const { secret } = parseEnrolmentToken(token)!;
    const tables = ['enrolment_tokens', 'secrets', 'authorities', 'events', 'audit'];
    for (const table of tables) {
      const { rows } = await database.pool.query<{ text: string }>(`SELECT t::text AS text FROM ${table} t`);
      const text = rows.map((row) => row.text).join('\n');
      expect(text).not.toContain(secret);
      expect(text).not.toContain('PRIVATE KEY');
      expect(text).not.toContain(Buffer.from('PRIVATE KEY').toString('hex'));
    }
  });
});

describe('an enrolment token', () => {
  it.each([
    ['that was never made', async () => `drover1.${'p'.repeat(43)}.${'s'.repeat(43)}`],
    [
      'that was revoked',
      async () => {
        const made = await enrolment.token();
        expect((await app.request('DELETE', `/enrolment-tokens/${made.id}`)).status).toBe(204);
        return made.token;
      },
    ],
    [
      'that has expired',
      async () => {
        const made = await enrolment.token();
        await database.pool.query(`UPDATE enrolment_tokens SET expires_at = now() WHERE id = $1`, [made.id]);
        return made.token;
      },
    ],
    [
      'that is used up',
      async () => {
        const made = await enrolment.token();
        await enrolment.enrol(made.token);
        return made.token;
      },
    ],
  ])('%s enrols nobody', async (_, make) => {
    const text = await make();
    const before = await database.prisma.device.count();
    const { answer } = await enrolment.attempt(text, ownAddress());
    expect(answer.status).toBe(403);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(problemSchema.parse(answer.body).code).toBe('enrolment-token-invalid');
    expect(await database.prisma.device.count()).toBe(before);
  });

  it('enrols exactly as many devices as it has uses, however many come at once', async () => {
    const made = await enrolment.token({ maxUses: 3, name: 'three' });
    const before = await database.prisma.device.count();
    const attempts = await Promise.all(Array.from({ length: 10 }, () => enrolment.attempt(made.token, ownAddress())));
    const statuses = attempts.map(({ answer }) => answer.status).toSorted();
    expect(statuses).toEqual([200, 200, 200, 403, 403, 403, 403, 403, 403, 403]);
    expect(await database.prisma.device.count()).toBe(before + 3);
    const { body } = await app.request('GET', '/enrolment-tokens');
    expect(body.items.find((item: { id: string }) => item.id === made.id)).toMatchObject({ uses: 3, maxUses: 3 });
  });

  it('gives its use back where the enrolment fails', async () => {
    const made = await enrolment.token();
    const { answer } = await enrolment.attempt(made.token, { ...ownAddress(), csr: 'nonsense' });
    expect(answer.status).toBe(400);
    await enrolment.enrol(made.token);
  });

  it('belongs to its fleet: the device is there and nowhere else', async () => {
    const made = await enrolment.token({}, 'other');
    const { body } = await app.request('GET', '/enrolment-tokens?limit=500');
    expect(body.items.map((item: { id: string }) => item.id)).not.toContain(made.id);
    expect((await app.request('DELETE', `/enrolment-tokens/${made.id}`)).status).toBe(404);
    const device = await enrolment.enrol(made.token);
    expect(device.fleet).toBe('other');
    expect((await app.request('GET', `/devices/${device.device}`)).status).toBe(404);
    expect((await app.request('GET', `/devices/${device.device}/certificates`)).status).toBe(404);
    expect((await app.request('DELETE', `/devices/${device.device}`)).status).toBe(404);
    expect((await app.request('POST', `/devices/${device.device}/certificates/revoke`, {})).status).toBe(404);
    expect((await app.request('GET', `/devices/${device.device}`, undefined, { fleet: 'other' })).status).toBe(200);
    expect((await enrolment.renew(device.credentials)).answer.status).toBe(200);
  });

  it('cannot be made for a group or a device that cannot be meant', async () => {
    await app.request('POST', '/groups', { id: 'by-filter', name: 'By filter', filter: { tiers: ['pi-5'] } });
    const elsewhere = await enrolment.newDevice('other');
    for (const [input, path] of [
      [{ group: 'none' }, 'group'],
      [{ group: 'by-filter' }, 'group'],
      [{ device: elsewhere.device }, 'device'],
    ] as const) {
      const { status, body } = await app.request('POST', '/enrolment-tokens', input);
      expect(status).toBe(400);
      expect(body.problems).toMatchObject([{ path }]);
    }
  });
});

describe('a request to enrol', () => {
  it('is refused with every problem where it is malformed, and never breaks the server', async () => {
    const options = ownAddress();
    const { url } = enrolment;
    const wrong = await call(url, 'POST', '/enrol', { token: 'x', profile: { ...PI_4, cpuCores: 0 } }, options);
    expect(wrong.status).toBe(400);
    expect(wrong.body.problems.map((problem: { path: string }) => problem.path).toSorted()).toEqual([
      'csr',
      'profile.cpuCores',
      'token',
    ]);
    expect((await call(url, 'POST', '/enrol', undefined, options)).status).toBe(400);
    expect((await call(url, 'POST', '/enrol', undefined, { ...options, raw: '{"token":' })).status).toBe(400);
    expect((await call(url, 'POST', '/enrol', [], options)).status).toBe(400);
    const text = { ...options, raw: '{}', headers: { 'content-type': 'text/plain' } };
    expect((await call(url, 'POST', '/enrol', undefined, text)).status).toBe(415);
    const large = { ...options, raw: Buffer.alloc(70_000, ' ') };
    expect((await call(url, 'POST', '/enrol', undefined, large)).status).toBe(413);
    const chunked = { ...large, headers: { 'content-length': undefined, 'transfer-encoding': 'chunked' } };
    expect(
      await call(url, 'POST', '/enrol', undefined, chunked as object).then(
        (a) => a.status,
        () => 413,
      ),
    ).toBe(413);
    expect((await call(url, 'GET', '/enrol', undefined, options)).headers.allow).toBe('POST');
    expect((await call(url, 'GET', '/%E0%A4%A', undefined, options)).status).toBe(404);
    expect((await call(url, 'GET', '/', undefined, options)).body.code).toBe('not-found');
  });

  it('needs a request for a key on P-256 that it proves to hold', async () => {
    const options = ownAddress();
    const other = await newRequest('P-384');
    const { csr } = await newRequest();
    const lines = csr.split('\n');
    // A bit of the signature, which ends the structure.
    const at = lines.length - 3;
    lines[at] = lines[at]!.replace(/.(?=.{4}$)/, (character) => (character === 'A' ? 'B' : 'A'));
    for (const bad of [other.csr, lines.join('\n'), csr.slice(0, 200), '', `${csr}${'\n'.repeat(5_000)}`]) {
      const { token } = await enrolment.token();
      const { answer } = await enrolment.attempt(token, { ...options, csr: bad === '' ? ' ' : bad });
      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({ code: 'certificate-request-invalid', problems: [{ path: 'csr' }] });
    }
  });

  it('is refused from an address with too many failures until some time has passed, and from no other', async () => {
    const here = ownAddress();
    const wrong = `drover1.${'p'.repeat(43)}.${'s'.repeat(43)}`;
    for (let i = 0; i < 20; i++) expect((await enrolment.attempt(wrong, here)).answer.status).toBe(403);
    const { token } = await enrolment.token();
    const { answer } = await enrolment.attempt(token, here);
    expect(answer.status).toBe(429);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    await enrolment.enrol(token, ownAddress());
  });
});

describe('a device certificate', () => {
  it('is renewed by the one before, which stays valid, and brings a new profile', async () => {
    const device = await enrolment.newDevice();
    const profile = { ...PI_4, board: 'Raspberry Pi 5 Model B Rev 1.0' };
    const { key, answer } = await enrolment.renew(device.credentials, { profile }, { ca: device.authorities });
    expect(answer.status).toBe(200);
    expect(new X509Certificate(answer.body.certificate).subject).toBe(`CN=${device.device}\nO=default`);
    expect((await app.request('GET', `/devices/${device.device}`)).body).toMatchObject({ tier: 'pi-5', epoch: 1 });
    for (const credentials of [{ key, cert: answer.body.certificate }, device.credentials])
      expect((await enrolment.renew(credentials)).answer.status).toBe(200);
    expect((await app.request('GET', `/devices/${device.device}/certificates`)).body.items).toHaveLength(4);
  });

  it('is not issued without end to a device that asks without end', async () => {
    const device = await enrolment.newDevice();
    let last = 200;
    for (let i = 0; i < 40 && last === 200; i++) last = (await enrolment.renew(device.credentials)).answer.status;
    expect(last).toBe(429);
  });

  it('that is of a foreign authority, that nobody issued, or that is missing, opens nothing', async () => {
    const device = await enrolment.newDevice();
    const now = Date.now();
    const foreign = await importIssuer(await createAuthority('foreign', { now, expiresAt: now + 86_400_000 }));
    const { key, csr } = await newRequest();
    const identity = { fleet: 'default', device: device.device };
    const forged = await issueDeviceCertificate(foreign, await readCertificateRequest(csr), identity, {
      now,
      expiresAt: now + 3_600_000,
    });
    for (const credentials of [{ key, cert: forged.pem }, undefined]) {
      const made = await newRequest();
      const answer = await call(enrolment.url, 'POST', '/renew', { csr: made.csr }, { credentials });
      expect(answer.status).toBe(401);
      expect(answer.body.code).toBe('unauthenticated');
    }
    // By the right authority, but none that is on record: as after the theft of the authority's key alone would be.
    await database.pool.query('DELETE FROM certificates WHERE device_id = $1', [device.device]);
    expect((await enrolment.renew(device.credentials)).answer.status).toBe(401);
  });

  it('opens nothing from the moment it is revoked, on a connection that is open as little as on a new one', async () => {
    const device = await enrolment.newDevice();
    const { Agent } = await import('node:https');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      expect((await enrolment.renew(device.credentials, {}, { agent })).answer.status).toBe(200);
      const path = `/devices/${device.device}/certificates`;
      expect((await app.request('POST', `${path}/revoke`, { reason: 'stolen' })).status).toBe(204);
      expect((await enrolment.renew(device.credentials, {}, { agent })).answer.status).toBe(401);
      expect((await enrolment.renew(device.credentials)).answer.status).toBe(401);
      const { items } = (await app.request('GET', path)).body;
      expect(items).toHaveLength(2);
      for (const item of items)
        expect(item).toMatchObject({ revocationReason: 'stolen', revokedAt: expect.any(String) });
    } finally {
      agent.destroy();
    }
  });

  it('opens nothing once its record has expired', async () => {
    const device = await enrolment.newDevice();
    await database.pool.query(`UPDATE certificates SET expires_at = now() WHERE device_id = $1`, [device.device]);
    expect((await enrolment.renew(device.credentials)).answer.status).toBe(401);
  });

  it('of the old hardware opens nothing as soon as new hardware has enrolled under the id', async () => {
    const old = await enrolment.newDevice('default', { name: 'Pump 9' });
    const { token } = await enrolment.token({ device: old.device });
    const fresh = await enrolment.enrol(token, { pipelines: ['aux'], name: 'ignored' });
    expect(fresh).toMatchObject({ device: old.device, epoch: 2 });
    expect((await enrolment.renew(old.credentials)).answer.status).toBe(401);
    expect((await enrolment.renew(fresh.credentials)).answer.status).toBe(200);
    const { body } = await app.request('GET', `/devices/${old.device}`);
    expect(body).toMatchObject({ name: 'Pump 9', epoch: 2, pipelines: ['aux'] });
    const { items } = (await app.request('GET', `/devices/${old.device}/certificates`)).body;
    expect(items.filter((item: { revokedAt: string | null }) => item.revokedAt === null)).toHaveLength(2);
  });
});

describe('a decommissioned device', () => {
  it('is refused with the signed order to erase, which is for it alone', async () => {
    const device = await enrolment.newDevice();
    const { token } = await enrolment.token({ device: device.device });
    expect((await app.request('DELETE', `/devices/${device.device}`)).status).toBe(204);
    const { answer } = await enrolment.renew(device.credentials);
    expect(answer.status).toBe(401);
    const { erase } = decommissionedProblemSchema.parse(answer.body);
    const keySet = verifyKeySet(device.keys, device.rootKey, 0);
    const expected = { fleet: 'default', device: device.device, keySet, now: Date.now(), skewMs: 0 };
    expect(verifyEnvelope(answer.body.erase, { kind: 'command', ...expected }).payload).toMatchObject({
      type: 'erase',
    });
    expect(() => verifyEnvelope(erase, { ...expected, device: 'another' })).toThrow(/is for device/);
    expect((await enrolment.attempt(token, ownAddress())).answer.status).toBe(403);
    expect((await app.request('DELETE', `/devices/${device.device}`)).status).toBe(409);
    expect((await app.request('POST', '/enrolment-tokens', { device: device.device })).status).toBe(400);
  });
});
