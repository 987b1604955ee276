import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Doorbell, RestingPlace, createDoorbellMemory } from './doorbell.ts';

const nothing = (): boolean => false;

function restFor(place: RestingPlace, ms: number, hasWork = nothing): number {
  const start = performance.now();
  place.rest(ms, hasWork);
  return performance.now() - start;
}

describe('resting', () => {
  it('lasts as long as it may when nobody rings', () => {
    expect(restFor(new RestingPlace(createDoorbellMemory()), 50)).toBeGreaterThanOrEqual(49);
  });

  it('does not begin when there is work already', () => {
    expect(restFor(new RestingPlace(createDoorbellMemory()), 10_000, () => true)).toBeLessThan(5_000);
  });

  it('does not begin while a posted request has not arrived', () => {
    const memory = createDoorbellMemory();
    const place = new RestingPlace(memory);
    new Doorbell(memory).ringForRequest();
    expect(restFor(place, 10_000)).toBeLessThan(5_000);
    place.countRequest();
    expect(restFor(place, 50)).toBeGreaterThanOrEqual(49);
  });

  it('ends when it is rung for between looking for work and lying down', () => {
    const memory = createDoorbellMemory();
    const bell = new Doorbell(memory);
    const ringWhileLooking = (): boolean => {
      expect(bell.ring()).toBe(true);
      return false;
    };
    expect(restFor(new RestingPlace(memory), 10_000, ringWhileLooking)).toBeLessThan(5_000);
  });

  it('of another thread is ended by ringing, once; one who is awake has to be told otherwise', async () => {
    const memory = createDoorbellMemory();
    const bell = new Doorbell(memory);
    expect(bell.ring()).toBe(false);
    const worker = new Worker(new URL('./resting-worker.fixture.ts', import.meta.url), {
      workerData: memory,
      execArgv: ['--conditions=source'],
    });
    const woke = new Promise((resolve) => worker.once('message', resolve));
    while (!bell.ring()) await setTimeout(1);
    expect(await woke).toBe('woke');
    expect(bell.ring()).toBe(false);
    await worker.terminate();
  });
});
