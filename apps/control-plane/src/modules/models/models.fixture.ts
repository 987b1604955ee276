import { readFile } from 'node:fs/promises';
import type { Artifact, Release } from '@drover/contracts';
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

  /** Waits until a release is built or could not be. */
  const ended = async (id: string, timeoutMs = 30_000): Promise<Release> => {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const release = await get(id);
      if (release.status !== 'BUILDING') return release;
      if (Date.now() > deadline)
        throw new RangeError(`release ${id} is still BUILDING (${release.phase}, ${release.progress})`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  return {
    send,
    upload,
    uploadFile: async (path: string) => upload(await readFile(path)),
    get,
    ended,
    model: async (id: string): Promise<void> => {
      const { status, body } = await app.request('POST', '/models', { id, name: id }, { fleet });
      if (status !== 201) throw new RangeError(JSON.stringify(body));
    },
    create: (model: string, training: object) => app.request('POST', '/releases', { model, training }, { fleet }),
    /** A model and its first release of the bundled recordings. */
    bundled: async (model: string): Promise<Release> => {
      const digests: string[] = [];
      const { normal, faults } = bundledRecordings();
      for (const path of [normal, ...faults]) digests.push((await upload(await readFile(path))).digest);
      await app.request('POST', '/models', { id: model, name: model }, { fleet });
      const training = {
        source: { kind: 'recordings', artifacts: digests.slice(0, 1) },
        evaluation: digests.slice(1),
      };
      const { status, body } = await app.request('POST', '/releases', { model, training }, { fleet });
      if (status !== 202) throw new RangeError(JSON.stringify(body));
      return ended(api.releases.create.response.parse(body).id);
    },
  };
}
