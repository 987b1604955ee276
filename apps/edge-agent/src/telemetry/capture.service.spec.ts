import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { batchMessageSchema, decodePayload, sampleMessageSchema } from '@drover/contracts';
import { MemoryOutbox } from '@drover/device-protocol';
import { silentLogger } from '@drover/runtime';
import { CaptureService } from './capture.service.ts';
import { CaptureStore } from './capture.store.ts';
import { MeasurementStream } from './measurement-stream.ts';

let folder: string;
let outbox: MemoryOutbox;
let answers: string[];
let services: CaptureService[];
/** Of the machine. */
let nowMs: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-capture-'));
  outbox = new MemoryOutbox({ bootId: 'boot' });
  answers = [];
  services = [];
  nowMs = 1_700_000_000_000;
});
afterEach(async () => {
  for (const service of services) await service.stop();
  await rm(folder, { recursive: true, force: true });
});

async function start(pipelines: readonly string[] = ['pump', 'fan']): Promise<CaptureService> {
  const service = new CaptureService({
    store: new CaptureStore(join(folder, 'captures.json'), silentLogger),
    pipelines,
    openStream: (id) => new MeasurementStream(outbox, `m/${id}`, ['a', 'b'], 0, 20),
    answer: ({ id }, status, message) => answers.push(`${id} ${status}: ${message}`),
    clock: { now: () => nowMs, monotonic: () => performance.now() },
    logger: silentLogger,
  });
  services.push(service);
  await service.start();
  return service;
}

const capture = (id: string, pipeline = 'pump', durationMs = 60_000) =>
  ({ type: 'capture', id, pipeline, durationMs }) as const;

function feed(service: CaptureService, from: number, count: number, pipeline = 'pump'): void {
  for (let i = from; i < from + count; i += 1) {
    service.add(pipeline, { timeMs: nowMs + i * 10, values: Float32Array.of(i, Number.NaN) });
  }
}

/** First values of all rows on a stream, in the order of their messages. */
function rowsOf(id: string): number[] {
  return outbox.read('m', 0, 1_000, 2 ** 30).flatMap(({ topic, payload }) => {
    if (topic !== `m/${id}`) return [];
    const message = decodePayload(payload) as { columns?: unknown };
    if (message.columns === undefined) return [sampleMessageSchema.parse(message).values[0]!];
    return batchMessageSchema.parse(message).columns[0] as number[];
  });
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('a capture', () => {
  it('sends every sample in batches from its acceptance to its end, then says how many', async () => {
    const service = await start();
    feed(service, 90, 5);
    await service.accept(capture('c1', 'pump', 60));
    feed(service, 0, 2_500);
    await expect.poll(() => answers).toEqual(['c1 SUCCEEDED: 2500 rows']);
    feed(service, 9_000, 5);
    expect(rowsOf('c1')).toEqual(range(2_500));
    expect(outbox.read('m', 0, 1_000, 2 ** 30)).toHaveLength(3);
  });

  it('of an unknown pipeline is rejected', async () => {
    const service = await start();
    await service.accept(capture('c1', 'conveyor'));
    expect(answers).toEqual(['c1 REJECTED: this device has no pipeline conveyor']);
  });

  it('is the only one of its pipeline; other pipelines go on beside it', async () => {
    const service = await start();
    await service.accept(capture('c1', 'pump', 100));
    await service.accept(capture('c2', 'pump'));
    await service.accept(capture('c3', 'fan', 100));
    expect(answers).toEqual([expect.stringMatching(/^c2 REJECTED: capture c1 of pipeline pump goes on until 2023-/)]);
    feed(service, 0, 3);
    feed(service, 0, 4, 'fan');
    await expect.poll(() => answers.slice(1).toSorted()).toEqual(['c1 SUCCEEDED: 3 rows', 'c3 SUCCEEDED: 4 rows']);
  });

  it('counts once, however often its command is delivered, in whatever process', async () => {
    const service = await start();
    await service.accept(capture('c1', 'pump', 80));
    feed(service, 0, 2);
    await service.accept(capture('c1', 'pump', 80));
    await expect.poll(() => answers).toEqual(['c1 SUCCEEDED: 2 rows']);
    await service.accept(capture('c1', 'pump', 80));
    expect(answers).toHaveLength(2);
    expect(answers[1]).toBe(answers[0]);
    await expect.poll(() => readFile(join(folder, 'captures.json'), 'utf8')).toContain('2 rows');
    const next = await start();
    await next.accept(capture('c1', 'pump', 80));
    expect(answers).toHaveLength(3);
    feed(next, 0, 2);
    expect(rowsOf('c1')).toEqual([0, 1]);
  });

  it('goes on after a restart, with the samples of both processes', async () => {
    const before = await start();
    await before.accept(capture('c1'));
    feed(before, 0, 3);
    await before.stop();
    nowMs += 59_900;
    const after = await start();
    feed(after, 3, 2);
    await expect.poll(() => answers).toEqual(['c1 SUCCEEDED: 5 rows']);
    expect(rowsOf('c1')).toEqual(range(5));
  });

  it('ends at once where its time was over before the process came back', async () => {
    const before = await start();
    await before.accept(capture('c1'));
    feed(before, 0, 3);
    await before.stop();
    nowMs += 3_600_000;
    await start();
    await expect.poll(() => answers).toEqual(['c1 SUCCEEDED: 3 rows']);
  });

  it('does not claim a number of rows after the process was killed', async () => {
    const killed = await start();
    await killed.accept(capture('c1'));
    feed(killed, 0, 3);
    nowMs += 59_950;
    const after = await start();
    feed(after, 3, 1);
    await expect.poll(() => answers).toEqual(['c1 SUCCEEDED: at least 1 rows: the agent was interrupted meanwhile']);
  });

  it('fails where its pipeline is gone after a restart', async () => {
    const before = await start();
    await before.accept(capture('c1'));
    await before.stop();
    await start(['fan']);
    expect(answers).toEqual(['c1 FAILED: pipeline pump was removed meanwhile']);
  });

  it('begins with nothing where the file is damaged, and keeps the file aside', async () => {
    await writeFile(join(folder, 'captures.json'), '{"format":');
    const service = await start();
    await service.accept(capture('c1', 'pump', 30));
    await expect.poll(() => answers).toEqual(['c1 SUCCEEDED: 0 rows']);
    expect(await readFile(join(folder, 'captures.json.unreadable'), 'utf8')).toBe('{"format":');
  });
});
