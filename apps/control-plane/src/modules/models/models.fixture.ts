import { readFile } from 'node:fs/promises';
import type { Artifact, Build, Release } from '@drover/contracts';
import { api } from '@drover/contracts';
import { bundledRecordings } from '@drover/recordings';
import type { TestApp } from '../../test-app.fixture.ts';

/** What tests of models and rollouts need of a running control plane. */
export function modelsOf(app: TestApp, fleet = 'default') {
  const send = async (bytes: Buffer | string, mediaType = 'text/csv'): Promise<{ status: number; body: unknown }> => {
    const response = await fetch(`${app.url}/api/v1/artifacts`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.adminKey}`, 'drover-fleet': fleet, 'content-type': mediaType },
      body: bytes,
    });
    return { status: response.status, body: await response.json() };
  };
  const upload = async (bytes: Buffer | string): Promise<Artifact> =>
    api.artifacts.upload.response.parse((await send(bytes)).body);
  const get = async (id: string): Promise<Release> =>
    api.releases.get.response.parse((await app.request('GET', `/releases/${id}`, undefined, { fleet })).body);

  const build = async (id: string): Promise<Build> =>
    api.builds.get.response.parse((await app.request('GET', `/builds/${id}`, undefined, { fleet })).body);

  /** Waits until a build is as wanted. */
  const buildIs = async (id: string, isWanted: (build: Build) => boolean, timeoutMs = 100_000): Promise<Build> => {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const seen = await build(id);
      if (isWanted(seen)) return seen;
      if (Date.now() > deadline) throw new RangeError(`build ${id} is still ${JSON.stringify(seen)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  /** Waits until it has ended. */
  const ended = (id: string, timeoutMs = 100_000): Promise<Build> =>
    buildIs(id, ({ status }) => status !== 'QUEUED' && status !== 'RUNNING', timeoutMs);

  return {
    send,
    upload,
    uploadFile: async (path: string) => upload(await readFile(path)),
    get,
    build,
    buildIs,
    ended,
    model: async (id: string): Promise<void> => {
      const { status, body } = await app.request('POST', '/models', { id, name: id }, { fleet });
      if (status !== 201) throw new RangeError(JSON.stringify(body));
    },
    /** Principal components where nothing else is asked for: the quickest to train. */
    create: (model: string, training: object, more: object = {}) =>
      app.request('POST', '/builds', { model, training: { family: 'pca', ...training }, ...more }, { fleet }),
    /** A model and its first release of the bundled recordings. */
    bundled: async (model: string): Promise<Release> => {
      const digests: string[] = [];
      const { normal, faults } = bundledRecordings();
      for (const path of [normal, ...faults]) digests.push((await upload(await readFile(path))).digest);
      await app.request('POST', '/models', { id: model, name: model }, { fleet });
      const training = { family: 'pca', source: { kind: 'recordings', artifacts: digests.slice(0, 1) } };
      const evaluation = { artifacts: digests.slice(1) };
      const { status, body } = await app.request('POST', '/builds', { model, training, evaluation }, { fleet });
      if (status !== 202) throw new RangeError(JSON.stringify(body));
      return get((await ended(api.builds.create.response.parse(body).id)).release);
    },
  };
}
