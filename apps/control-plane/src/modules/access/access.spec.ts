import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { api } from '@drover/contracts';
import { EventUpkeep } from './event-upkeep.service.ts';
import { testApp } from '../../test-app.fixture.ts';
import type { TestApp } from '../../test-app.fixture.ts';

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.stop());

async function key(fleet: string, role: string): Promise<{ id: string; secret: string }> {
  const { status, body } = await app.request('POST', '/api-keys', { name: `${role} of ${fleet}`, role }, { fleet });
  expect(status).toBe(201);
  return api.apiKeys.create.response.parse(body);
}

describe('access to the API', () => {
  it('refuses a request without a key, with an unknown one and with a malformed one, as a problem document', async () => {
    const response = await fetch(`${app.url}/api/v1/fleets`);
    expect(response.status).toBe(401);
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    for (const wrong of [`drover_${'a'.repeat(43)}`, 'x', 'drover_']) {
      expect((await app.request('GET', '/fleets', undefined, { key: wrong })).status).toBe(401);
    }
  });

  it('lets each role do what is its own and nothing above', async () => {
    await app.request('POST', '/fleets', { id: 'roles', name: 'Roles' });
    const viewer = await key('roles', 'viewer');
    const admin = await key('roles', 'admin');
    expect((await app.request('GET', '/api-keys', undefined, { key: viewer.secret })).status).toBe(403);
    expect((await app.request('GET', '/api-keys', undefined, { key: admin.secret })).status).toBe(200);
    expect((await app.request('POST', '/fleets', { id: 'mine', name: 'Mine' }, { key: admin.secret })).status).toBe(
      403,
    );
  });

  it('keeps two fleets from seeing each other', async () => {
    await app.request('POST', '/fleets', { id: 'east', name: 'East' });
    await app.request('POST', '/fleets', { id: 'west', name: 'West' });
    const east = await key('east', 'admin');
    const west = await key('west', 'admin');
    const fleets = api.fleets.list.response.parse(
      (await app.request('GET', '/fleets', undefined, { key: east.secret })).body,
    );
    expect(fleets.items.map((fleet) => fleet.id)).toEqual(['east']);
    expect((await app.request('GET', '/fleets/west', undefined, { key: east.secret })).status).toBe(404);
    expect((await app.request('DELETE', `/api-keys/${west.id}`, undefined, { key: east.secret })).status).toBe(404);
    expect((await app.request('GET', '/api-keys', undefined, { key: east.secret, fleet: 'west' })).status).toBe(403);
    expect((await app.request('GET', '/fleets', undefined, { key: west.secret })).status).toBe(200);
  });

  it('stops accepting a key as soon as it is revoked', async () => {
    await app.request('POST', '/fleets', { id: 'revoking', name: 'Revoking' });
    const admin = await key('revoking', 'admin');
    const other = await key('revoking', 'viewer');
    expect((await app.request('DELETE', `/api-keys/${other.id}`, undefined, { key: admin.secret })).status).toBe(204);
    expect((await app.request('GET', '/fleets', undefined, { key: other.secret })).status).toBe(401);
  });

  it('lets the instance administrator see and withdraw a key of the instance, and nobody else', async () => {
    const { ApiKeyService } = await import('./api-key.service.ts');
    const secret = (await app.controlPlane.app.get(ApiKeyService).ensureInstanceKey(true))!;
    const idsSeenBy = async (options: object): Promise<string[]> =>
      (await app.request('GET', '/api-keys?limit=500', undefined, options)).body.items
        .filter((item: { fleet: string | null; revokedAt: string | null }) => !item.fleet && !item.revokedAt)
        .map((item: { id: string }) => item.id);
    const [newest, ...others] = await idsSeenBy({});
    expect(others.length).toBeGreaterThan(0);
    const admin = await key('default', 'admin');
    expect(await idsSeenBy({ key: admin.secret })).toEqual([]);
    const path = `/api-keys/${newest}`;
    expect((await app.request('DELETE', path, undefined, { key: admin.secret })).status).toBe(404);
    expect((await app.request('GET', '/fleets', undefined, { key: secret })).status).toBe(200);
    expect((await app.request('DELETE', path)).status).toBe(204);
    expect((await app.request('GET', '/fleets', undefined, { key: secret })).status).toBe(401);
  });

  it('stores no secret of a key', async () => {
    const { secret } = await key('default', 'viewer');
    const { rows } = await app.controlPlane.app
      .get((await import('../../platform/database/database.ts')).Database)
      .pool.query('SELECT row_to_json(k)::text AS text FROM api_keys k');
    expect(rows.map((row: { text: string }) => row.text).join('\n')).not.toContain(secret.slice(13));
  });

  it('names every wrong field of a body', async () => {
    const { status, body } = await app.request('POST', '/api-keys', { name: '', role: 'emperor' });
    expect(status).toBe(400);
    expect(body.code).toBe('invalid-input');
    expect(body.problems.map((problem: { path: string }) => problem.path).toSorted()).toEqual(['name', 'role']);
  });

  it('counts what it refuses, by code', async () => {
    await app.request('POST', '/api-keys', { name: 1 });
    const metrics = await (await fetch(`${app.url}/metrics`)).text();
    expect(metrics).toMatch(/drover_http_problems_total\{status="400",code="invalid-input"\} [1-9]/);
  });

  it('leaves an audit entry for a mutation that was done and for one that was refused', async () => {
    await app.request('POST', '/fleets', { id: 'audited', name: 'Audited' });
    const admin = await key('audited', 'admin');
    const made = await app.request('POST', '/api-keys', { name: 'x', role: 'viewer' }, { key: admin.secret });
    await app.request('DELETE', '/api-keys/none', undefined, { key: admin.secret });
    const audit = api.audit.list.response.parse(
      (await app.request('GET', '/audit', undefined, { key: admin.secret })).body,
    );
    expect(audit.items.map((entry) => [entry.action, entry.actor, entry.status])).toEqual([
      ['api-keys.revoke', `key:${admin.id}`, 404],
      ['api-keys.create', `key:${admin.id}`, made.status],
      ['api-keys.create', expect.stringMatching(/^key:/), 201],
    ]);
  });

  it('streams events in commit order and goes on after Last-Event-ID', async () => {
    await app.request('POST', '/fleets', { id: 'streamed', name: 'Streamed' });
    const first = await key('streamed', 'admin');
    const events = await readEvents(first.secret, '0', 2);
    expect(events.map((event) => event.type)).toEqual(['fleet.created', 'api-key.created']);
    const second = await key('streamed', 'viewer');
    const more = await readEvents(first.secret, events[1]!.id, 1);
    expect(more.map((event) => event.subject)).toEqual([second.id]);
  });

  it('forgets events past their retention, and goes on for who comes back from behind it', async () => {
    await app.request('POST', '/fleets', { id: 'forgetful', name: 'Forgetful' });
    const { secret } = await key('forgetful', 'admin');
    const [first] = await readEvents(secret, '0', 1);
    await app.controlPlane.app
      .get((await import('../../platform/database/database.ts')).Database)
      .pool.query(
        `UPDATE events SET at = now() - interval '31 days' WHERE fleet_id = 'forgetful' AND type = 'fleet.created'`,
      );
    expect(await app.controlPlane.app.get(EventUpkeep).run(Date.now())).toBe(1);
    expect((await readEvents(secret, '0', 1)).map((event) => event.type)).toEqual(['api-key.created']);
    expect((await readEvents(secret, first!.id, 1)).map((event) => event.type)).toEqual(['api-key.created']);
  });

  it('answers 404 and malformed JSON as problem documents', async () => {
    expect((await app.request('GET', '/nothing')).body).toMatchObject({ status: 404, code: 'not-found' });
    const response = await fetch(`${app.url}/api/v1/fleets`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.adminKey}`, 'content-type': 'application/json' },
      body: '{"id":',
    });
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toContain('application/problem+json');
  });
});

async function readEvents(
  secret: string,
  after: string,
  count: number,
): Promise<{ id: string; type: string; subject: string }[]> {
  const abort = new AbortController();
  const response = await fetch(`${app.url}/api/v1/events`, {
    headers: { authorization: `Bearer ${secret}`, 'last-event-id': after },
    signal: abort.signal,
  });
  const events: { id: string; type: string; subject: string }[] = [];
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop()!;
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data !== undefined) events.push(JSON.parse(data));
    }
    if (events.length >= count) break;
  }
  abort.abort();
  return events;
}
