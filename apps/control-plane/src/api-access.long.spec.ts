import { API_PREFIX, api, buildRequestSchema, problemSchema } from '@drover/contracts';
import type { Route } from '@drover/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enrolmentOf } from './modules/enrolment/enrolment.fixture.ts';
import { Database } from './platform/database/database.ts';
import { testApp } from './test-app.fixture.ts';
import type { TestApp } from './test-app.fixture.ts';

/**
 * Every route of the contract, whatever it does: who may call it, and that no nonsense that a caller can send is answered by
 * anything but a problem document that says whose fault it is.
 */
const ROUTES: readonly Route[] = Object.values(api).flatMap((routes) => Object.values(routes) as Route[]);

const ROLES = ['viewer', 'operator', 'admin'] as const;
type Role = (typeof ROLES)[number];

let app: TestApp;
const DIGEST = 'a'.repeat(64);

let keys: Record<Role, string>;
/** Path parameters that exist, so that what is refused is not refused for want of them. */
let real: Record<string, string>;

beforeAll(async () => {
  app = await testApp();
  await app.request('POST', '/fleets', { id: 'north', name: 'North' });
  const made = await Promise.all(
    ROLES.map(async (role) => {
      const { body } = await app.request('POST', '/api-keys', { name: role, role }, { fleet: 'north' });
      return [role, body.secret as string] as const;
    }),
  );
  keys = Object.fromEntries(made) as Record<Role, string>;
  const { device } = await enrolmentOf(app).newDevice();
  await app.request('POST', '/groups', { id: 'static', name: 'Static' });
  await app.request('POST', '/models', { id: 'model', name: 'Model' });
  await addRollout(device);
  real = {
    fleet: 'default',
    device,
    group: 'static',
    model: 'model',
    purpose: 'twin',
    digest: DIGEST,
    release: 'rel',
    rollout: 'rol',
    execution: 'exe',
    anomaly: 'ano',
    build: 'bld',
    dataset: 'dat',
    capture: 'cap',
  };
});
afterAll(() => app.stop());

/** What a trained release, its rollout and an anomaly leave in the database. */
async function addRollout(device: string): Promise<void> {
  const { pool } = app.controlPlane.app.get(Database);
  const fleet = `'default'`;
  for (const sql of [
    `INSERT INTO releases (fleet_id, id, model_id, version, status, family) VALUES (${fleet}, 'rel', 'model', 1, 'READY', 'pca')`,
    `INSERT INTO variants (fleet_id, release_id, name, precision, size, digest, size_bytes, document)
     VALUES (${fleet}, 'rel', 'fp32', 'fp32', 'full', '${DIGEST}', 1, '${JSON.stringify({ policy: POLICY, metrics: {} })}')`,
    `INSERT INTO builds (fleet_id, id, release_id, model_id, request)
     VALUES (${fleet}, 'bld', 'rel', 'model', '${JSON.stringify(buildRequestSchema.parse(BUILD))}')`,
    `INSERT INTO datasets (fleet_id, id, name, files, status) VALUES (${fleet}, 'dat', 'Data', '[{"name":"a","artifact":"${DIGEST}"}]', 'READY')`,
    `INSERT INTO captures (fleet_id, id, name, pipeline, duration_ms, deadline_at) VALUES (${fleet}, 'cap', 'Capture', 'main', 1000, now() + interval '1 h')`,
    `INSERT INTO capture_devices (fleet_id, capture_id, device_id) VALUES (${fleet}, 'cap', '${device}')`,
    `INSERT INTO boots (id, fleet_id, device_id, boot_id) VALUES (1, ${fleet}, '${device}', 'boot')`,
    `INSERT INTO benchmarks (boot_id, seq, fleet_id, device_id, pipeline, release_id, variant, variant_digest, provider, runs, p50_us, p95_us, p99_us, at)
     VALUES (1, 1, ${fleet}, '${device}', 'main', 'rel', 'fp32', '${DIGEST}', 'cpu', 1, 1, 1, 1, to_timestamp(8.64e12))`,
    `INSERT INTO rollouts (fleet_id, id, name, slot, release_id, target, total, status)
     VALUES (${fleet}, 'rol', 'Rollout', 'pipeline:main', 'rel', '{"kind":"group","group":"static"}', 1, 'PAUSED')`,
    `INSERT INTO waves (fleet_id, rollout_id, index, size, total) VALUES (${fleet}, 'rol', 0, '{"kind":"count","count":1}', 1)`,
    `INSERT INTO executions (fleet_id, id, rollout_id, wave, device_id, slot) VALUES (${fleet}, 'exe', 'rol', 0, '${device}', 'pipeline:main')`,
    `INSERT INTO artifacts (fleet_id, digest, size_bytes, media_type) VALUES (${fleet}, '${DIGEST}', 1, 'text/csv')`,
    `INSERT INTO anomalies (fleet_id, device_id, id, revision, pipeline, state, started_at, peak_at, peak_score, threshold, windows,
       contributions, release_id, variant, variant_digest, provider)
     VALUES (${fleet}, '${device}', 'ano', 1, 'main', 'open', to_timestamp(8.64e12), now(), 1, 1, 1, '[]', 'rel', 'fp32', '${DIGEST}', 'cpu')`,
    `INSERT INTO rejects (fleet_id, device_id, topic, code, message, payload, size_bytes)
     VALUES (${fleet}, '${device}', 't', 'c', 'm', '', 0)`,
    `INSERT INTO streams (fleet_id, device_id, name, channels) VALUES (${fleet}, '${device}', 's', '{a}')`,
  ])
    await pool.query(sql);
}

interface Asked {
  readonly key?: string | undefined;
  readonly params?: (name: string) => string;
  readonly query?: string;
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly raw?: string;
}

async function ask(route: Route, { key, params, query, body, raw }: Asked) {
  const path = route.path.replaceAll(
    /:(\w+)/g,
    (_, name: string) => params?.(name) ?? encodeURIComponent(real[name] ?? 'x'),
  );
  const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const abort = new AbortController();
  const response = await fetch(`${app.url}${API_PREFIX}${path}${query ? `?${query}` : ''}`, {
    method: route.method,
    signal: abort.signal,
    headers: {
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(sent === undefined ? {} : { 'content-type': route.upload ? 'text/csv' : 'application/json' }),
    },
    ...(sent === undefined ? {} : { body: sent }),
  });
  // A stream of events has no end.
  const streamed = response.status === 200 && route.response === 'events';
  const text = streamed ? '' : await response.text();
  abort.abort();
  return { status: response.status, type: response.headers.get('content-type') ?? '', text };
}

/** Neither done by mistake nor answered by a failure of the server. */
function expectNoFailure(answer: Awaited<ReturnType<typeof ask>>, what: string): void {
  expect(answer.status, `${what}: ${answer.text.slice(0, 300)}`).toBeLessThan(500);
  if (answer.status < 400) return;
  expect(answer.type, what).toContain('application/problem+json');
  const problem = problemSchema.parse(JSON.parse(answer.text));
  expect(problem.status, what).toBe(answer.status);
}

function rolesBelow(access: Route['access']): Role[] {
  if (access === 'any') return [];
  if (access === 'instance') return [...ROLES];
  return ROLES.slice(0, ROLES.indexOf(access));
}

describe.each(ROUTES.map((route) => [route.id, route] as const))('%s', (_, route) => {
  it('needs a key that is valid', async () => {
    for (const key of [undefined, 'nonsense', `drover_${'A'.repeat(43)}`]) {
      const answer = await ask(route, { key });
      expect(answer.status).toBe(401);
      expectNoFailure(answer, route.id);
    }
  });

  it('refuses every role below its own', async () => {
    for (const role of rolesBelow(route.access)) expect((await ask(route, { key: keys[role] })).status).toBe(403);
  });

  it('answers as the contract says', async () => {
    if (
      route.method !== 'GET' ||
      typeof route.response === 'string' ||
      ['releases.manifest', 'releases.card'].includes(route.id)
    )
      return;
    const answer = await ask(route, { key: app.adminKey, query: required(route).slice(1) });
    expect(answer.status, answer.text).toBe(route.status);
    const body: unknown = JSON.parse(answer.text);
    expect(route.response.parse(body), 'nothing that the contract does not name').toEqual(body);
    const { items } = body as { items?: readonly unknown[] };
    if (items) expect(items.length).toBeGreaterThan(0);
  });

  it('knows nothing of what belongs to another fleet', async () => {
    if (!route.path.includes(':') || route.access === 'instance') return;
    // Of a list of one thing in another, too: the thing it is of is not there.
    const answer = await ask(route, { key: keys.admin, body: bodyOf(route), query: required(route).slice(1) });
    expect(answer.status, answer.text).toBe(404);
  });

  it('answers nonsense in its path by a problem of the caller', async () => {
    if (!route.path.includes(':')) return;
    for (const nonsense of [
      '%00',
      '..%2f..%2fmaster-key',
      '%ed%a0%80',
      '%ff',
      'a'.repeat(150),
      "'%20OR%201=1--",
      '%F0%9F%98%80',
    ]) {
      const answer = await ask(route, { key: app.adminKey, params: () => nonsense, body: bodyOf(route) });
      expect(answer.status, `${nonsense}: ${answer.text}`).toBeGreaterThanOrEqual(400);
      expectNoFailure(answer, `${route.id} ${nonsense}`);
    }
  });

  it('answers nonsense in its query by a problem of the caller, if at all', async () => {
    const cursors = NO_CURSORS.map((values) => `cursor=${Buffer.from(JSON.stringify(values)).toString('base64url')}`);
    const names = Object.keys(route.query?.shape ?? {});
    const values = [
      '%00',
      '%ed%a0%80',
      '',
      '-1',
      '1e400',
      '0000-01-01T00:00:00Z',
      '9999-12-31T23:59:59-23:59',
      'x'.repeat(5_000),
    ];
    const queries = [
      ...(names.includes('cursor')
        ? cursors.flatMap((cursor) => sortsOf(route).map((sort) => `${cursor}${sort}`))
        : []),
      ...names.flatMap((name) => values.map((value) => `${name}=${value}${name === 'stream' ? '' : required(route)}`)),
      'unknown=1&unknown=2',
      '__proto__=x&constructor=y',
    ];
    for (const query of queries)
      expectNoFailure(await ask(route, { key: app.adminKey, query }), `${route.id}?${query.slice(0, 200)}`);
  });

  it('answers a body that is nonsense by a problem of the caller', async () => {
    if (!route.body) return;
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
    for (const raw of [
      '{',
      '',
      'null',
      '[]',
      '"text"',
      '1e400',
      '{"__proto__":{"a":1}}',
      '\0',
      deep,
      `{"name":${deep}}`,
    ]) {
      const answer = await ask(route, { key: app.adminKey, raw });
      expectNoFailure(answer, `${route.id} ${raw.slice(0, 30)}`);
    }
    expect((await ask(route, { key: app.adminKey, raw: `{"name":"${'x'.repeat(2 ** 20)}"}` })).status).toBe(413);
    for (const spoiled of spoil(bodyOf(route)))
      expectNoFailure(await ask(route, { key: app.adminKey, body: spoiled }), `${route.id} ${JSON.stringify(spoiled)}`);
  });
});

/** Values that no list gives out, in the shapes of those that some list does. */
const NO_CURSORS: readonly (readonly unknown[])[] = [
  [],
  [1],
  ['x'],
  [null],
  ['\0'],
  ['\ud800'],
  [-1],
  [1e300],
  ['9'.repeat(40)],
  ['x', 'x'],
  [null, null],
  ['\0', '\0'],
  [1e300, 1],
  ['2026-01-01T00:00:00Z', '\0'],
  [0, 'x'],
  ['x', 1, 'x'],
  ['name', '\0', 'x'],
  ['-startedAt', 1e300, 'a', 'b'],
  ['-startedAt', 8.7e15, 'a', 'b'],
];

function sortsOf(route: Route): string[] {
  const sort = route.query?.shape.sort as { unwrap?: () => { options: readonly string[] } } | undefined;
  return sort?.unwrap ? sort.unwrap().options.map((option) => `&sort=${option}`) : [''];
}

function required(route: Route): string {
  return route.query?.shape.stream ? '&stream=s' : '';
}

const FILTER = { tags: { site: 'north' }, nameContains: 'pump', groups: ['static'], pipelines: ['main'] };
const TRAINING = {
  source: {
    kind: 'measurements',
    device: 'dev',
    stream: 's',
    from: '2026-01-01T00:00:00Z',
    to: '2026-02-01T00:00:00Z',
  },
};
const POLICY = { kind: 'threshold', threshold: 1, releaseRatio: 0.8, minLength: 1 };
const BUILD = { model: 'model', training: TRAINING, evaluation: { artifacts: [DIGEST], datasets: ['dat'] } };
const ROLLOUT = {
  name: 'n',
  pipeline: 'main',
  release: 'rel',
  target: { kind: 'filter', filter: FILTER },
  waves: [{ kind: 'count', count: 1 }],
  failureThresholdPercent: 1,
  stepTimeoutSeconds: 60,
};

/** Bodies that only fail, if at all, for what they name. */
const BODIES: Readonly<Record<string, object>> = {
  'fleets.create': { id: 'another', name: 'Another' },
  'api-keys.create': { name: 'x', role: 'viewer', expiresInDays: 1 },
  'devices.update': { name: 'renamed', tags: { site: 'a' }, tier: 'pi-5' },
  'devices.revokeCertificates': { reason: 'lost' },
  'groups.create': { id: 'g', name: 'Group', filter: FILTER },
  'groups.addDevices': { devices: ['dev'] },
  'enrolment-tokens.create': { name: 't', maxUses: 1, expiresInMinutes: 1, group: 'static', device: 'dev' },
  'models.create': { id: 'm', name: 'Model', description: 'text' },
  'builds.create': BUILD,
  'datasets.create': { name: 'Data', files: [{ name: 'a', artifact: DIGEST }], options: { delimiter: ';', rateHz: 1 } },
  'captures.create': { name: 'Capture', devices: ['dev'], pipeline: 'main', durationMs: 1_000 },
  'rollouts.create': ROLLOUT,
};

function bodyOf(route: Route): object | undefined {
  if (!route.body) return undefined;
  const body = BODIES[route.id];
  if (!body) throw new TypeError(`say in BODIES what a body of ${route.id} looks like`);
  return body;
}

/** The body with one of its values replaced by something that a database or a parser can choke on, every one in turn. */
function* spoil(value: unknown): Generator<unknown> {
  if (typeof value === 'string') {
    for (const text of ['\0', `a\0b`, '\ud800', 'a\udc00', '', 'x'.repeat(10_000), '0000-01-01T00:00:00Z']) yield text;
  } else if (typeof value === 'number') {
    for (const number of [-1, 0, 0.5, 2 ** 31, 2 ** 53, 1e308, null]) yield number;
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, part] of Object.entries(value)) {
      for (const spoiled of spoil(part))
        yield Array.isArray(value) ? value.with(Number(key), spoiled) : { ...value, [key]: spoiled };
      if (!Array.isArray(value)) yield { ...value, [`${key}\0`]: part, [`${key}\ud800`]: part };
    }
  }
}
