import { Agent } from 'node:https';
import { sleep } from '@drover/runtime';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { testApp } from '../../test-app.fixture.ts';
import type { TestApp } from '../../test-app.fixture.ts';
import { call, chainOf, enrolmentOf } from './enrolment.fixture.ts';

// Lives of seconds, so that what takes months happens while the test looks on.
let app: TestApp;
let enrolment: ReturnType<typeof enrolmentOf>;
beforeAll(async () => {
  app = await testApp({ DROVER_CERTIFICATE_LIFETIME: '3s', DROVER_SERVER_CERTIFICATE_LIFETIME: '3s' });
  enrolment = enrolmentOf(app);
});
afterAll(() => app.stop());

/** The one connection that an agent keeps, once it has been given back. */
const idleSocketOf = (agent: Agent) =>
  vi.waitFor(() => {
    const [socket] = Object.values(agent.freeSockets).flat();
    expect(socket).toBeDefined();
    return socket;
  });

it("renews the server's certificate while it runs, and drops no connection that is open", async () => {
  const before = await chainOf(enrolment.url);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const first = await call(enrolment.url, 'GET', '/', undefined, { agent });
    expect(first.status).toBe(404);
    const socket = await idleSocketOf(agent);
    let after = before;
    for (let i = 0; i < 100 && after[0]!.fingerprint256 === before[0]!.fingerprint256; i++) {
      await sleep(100);
      after = await chainOf(enrolment.url);
    }
    expect(after[0]!.fingerprint256).not.toBe(before[0]!.fingerprint256);
    expect(after.at(-1)!.fingerprint256).toBe(before.at(-1)!.fingerprint256);
    expect((await call(enrolment.url, 'GET', '/', undefined, { agent })).status).toBe(404);
    expect(await idleSocketOf(agent)).toBe(socket);
  } finally {
    agent.destroy();
  }
});

it('refuses a device certificate once it has expired, and a device that renews in time goes on', async () => {
  const late = await enrolment.newDevice();
  const early = await enrolment.newDevice();
  await sleep(1_500);
  const { key, answer } = await enrolment.renew(early.credentials);
  expect(answer.status).toBe(200);
  await sleep(2_000);
  expect((await enrolment.renew(late.credentials)).answer.status).toBe(401);
  expect((await enrolment.renew({ key, cert: answer.body.certificate })).answer.status).toBe(200);
});
