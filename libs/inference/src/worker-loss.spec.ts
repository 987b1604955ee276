import { describe, expect, it, vi } from 'vitest';
import { InferenceWorkerLostError } from './errors.ts';
import {
  PIPE,
  deaths,
  faults,
  forget,
  host,
  idle,
  kill,
  news,
  oddsBelow,
  pause,
  push,
  serve,
  spec,
  start,
  starts,
  useInferenceHost,
} from './inference-host.fixture.ts';
import { InferenceHost } from './inference-host.ts';
import { sampleSignature } from './sample-detector.fixture.ts';

useInferenceHost();

describe('a worker that goes away', () => {
  const workerUrl = new URL('./mortal-worker.fixture.ts', import.meta.url);

  it('comes back with its detectors; no sample is lost and no anomaly repeated', async () => {
    await start({ workerUrl });
    await serve(spec('v1'));
    await host.prepare(PIPE, spec('v2'));
    let n = 0;
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < 60; i += 1) push((n += 1));
      if (round === 0) await idle();
      await pause(round * 2);
      kill();
      for (let i = 0; i < 60; i += 1) push((n += 1));
      await vi.waitFor(() => expect(deaths).toHaveLength(round + 1), { timeout: 10_000 });
      push((n += 1));
      push((n += 1));
      await idle();
    }
    expect(starts()).toEqual(oddsBelow(n + 1));
    expect(faults).toEqual([]);
    await host.activate(PIPE, 'v2');
    expect((await host.stats(PIPE))!.key).toBe('v2');
  });

  it('goes on with an open anomaly and a model’s state', async () => {
    const stateful = spec('v1', sampleSignature({ window: 1, stateReset: 'never' }), { stateful: true });
    const run = async (dies: boolean): Promise<unknown> => {
      forget();
      await start({ workerUrl });
      await serve(stateful);
      // Always far above the level that follows, so that an anomaly is open.
      for (let n = 0; n < 5; n += 1) host.push(PIPE, n * 1_000, [9 * 2 ** n, 0]);
      await idle();
      if (dies) {
        kill();
        await vi.waitFor(() => expect(deaths).toHaveLength(1), { timeout: 10_000 });
      }
      for (let n = 5; n < 20; n += 1) host.push(PIPE, n * 1_000, [0, 0]);
      await idle();
      await host.stop();
      return news.map(({ update }) => ({ ...update, anomaly: { ...update.anomaly, id: '' } }));
    };
    const undisturbed = await run(false);
    expect(undisturbed).toMatchObject([{ change: 'opened' }, { change: 'closed', anomaly: { windows: 10 } }]);
    expect(await run(true)).toEqual(undisturbed);
  });

  it('fails the requests that were under way, and answers those that come while it starts', async () => {
    await start({ workerUrl });
    await serve(spec('v1'));
    await host.prepare(PIPE, spec('v2'));
    const measuring = host.benchmark(PIPE, 'v2', { runs: 1_000_000 });
    const failure = expect(measuring).rejects.toThrow(InferenceWorkerLostError);
    await pause(20);
    kill();
    await failure;
    expect((await host.stats(PIPE))!.key).toBe('v1');
  });

  it('can be recycled under load', async () => {
    await start();
    await serve(spec('v1'));
    let n = 0;
    for (let round = 0; round < 2; round += 1) {
      for (let i = 0; i < 60; i += 1) push((n += 1));
      const recycling = host.recycle();
      for (let i = 0; i < 60; i += 1) push((n += 1));
      await recycling;
    }
    await idle();
    expect(starts()).toEqual(oddsBelow(n + 1));
    expect(deaths).toEqual([]);
  });

  it('is not waited for in vain when it cannot even start', async () => {
    await start();
    const broken = new InferenceHost({
      listener: { onAnomaly: () => undefined },
      workerUrl: new URL('./no-such-worker.ts', import.meta.url),
    });
    await expect(broken.start()).rejects.toThrow(InferenceWorkerLostError);
  });

  it('answers nothing after it was stopped', async () => {
    await start();
    await serve(spec('v1'));
    await host.stop();
    await expect(host.stats(PIPE)).rejects.toThrow('Inference was stopped');
  });
});
