import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_CHUNK_BYTES } from '@drover/contracts';
import { Backoff, InvalidInputError } from '@drover/runtime';
import { DeviceConnection } from '../connection/device-connection.ts';
import { DigestMismatchError, DownloadFailedError, NoSpaceError, SizeMismatchError } from '../errors.ts';
import { TestArtifactServer } from '../fixtures/test-artifact-server.ts';
import { TestAuthority } from '../fixtures/test-authority.ts';
import { TestBroker, until } from '../fixtures/test-broker.ts';
import { ArtifactFetcher } from './artifact-fetcher.ts';
import type { ArtifactFetcherOptions } from './artifact-fetcher.ts';

const SIZE = 500_000;
const bytes = randomBytes(SIZE);
const digest = createHash('sha256').update(bytes).digest('hex');
const wanted = { digest, sizeBytes: SIZE };

let broker: TestBroker;
let listener: TestArtifactServer;
let connection: DeviceConnection;
let folder: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'artifacts-'));
  const authority = await TestAuthority.create();
  broker = new TestBroker(authority);
  listener = new TestArtifactServer(authority);
  await Promise.all([broker.start(), listener.start()]);
  connection = new DeviceConnection({
    identity: { ...(await broker.identity('d-1')), https: { urls: [listener.url] } },
    bootId: 'b',
    agentVersion: '1',
    backoff: new Backoff(10, 50),
  });
  connection.start();
  await connection.whenOnline();
});
afterEach(async () => {
  await connection.stop();
  await Promise.all([broker.kill(), listener.stop()]);
  rmSync(folder, { recursive: true });
});

function fetcherOf(options: Partial<ArtifactFetcherOptions> = {}): ArtifactFetcher {
  return new ArtifactFetcher({
    folder,
    connection,
    reserveBytes: 0,
    mqtt: { chunkTimeoutMs: 200, attemptsPerChunk: 3 },
    backoff: () => new Backoff(5, 20),
    ...options,
  });
}

const failure = (attempt: Promise<unknown>): Promise<unknown> => attempt.then(() => null).catch((error) => error);

function expectFetched(path: string): void {
  expect(path).toBe(join(folder, digest));
  expect(readFileSync(path).equals(bytes)).toBe(true);
  expect(readdirSync(folder)).toEqual([digest]);
}

describe('fetching an artifact over MQTT', () => {
  beforeEach(() => void broker.artifacts.set(digest, bytes));

  it('brings every byte, in chunks, and says how far it is', async () => {
    const progress: number[] = [];
    expectFetched(await fetcherOf().fetch({ ...wanted, onProgress: (received) => progress.push(received) }));
    expect(broker.chunkRequests).toBe(Math.ceil(SIZE / MAX_CHUNK_BYTES));
    expect(progress.at(-1)).toBe(SIZE);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    expect(listener.ranges).toEqual([]);
  });

  it('asks for nothing where the artifact is there, and once where two ask for it', async () => {
    const fetcher = fetcherOf();
    const paths = await Promise.all([fetcher.fetch(wanted), fetcher.fetch(wanted)]);
    expect(paths[0]).toBe(paths[1]);
    await fetcher.fetch(wanted);
    expect(broker.chunkRequests).toBe(Math.ceil(SIZE / MAX_CHUNK_BYTES));
  });

  it('asks again for a chunk that got lost, and takes late answers', async () => {
    const lost = new Set([0, 2 * MAX_CHUNK_BYTES]);
    broker.onChunk = (chunk, offset) => (lost.delete(offset) ? null : chunk);
    expectFetched(await fetcherOf().fetch(wanted));
    expect(broker.chunkRequests).toBeGreaterThan(Math.ceil(SIZE / MAX_CHUNK_BYTES));
  });

  it('goes on after the broker was killed in the middle, from the byte where it was', async () => {
    let served = 0;
    broker.onChunk = (chunk) => {
      served += 1;
      if (served === 4) setImmediate(() => void broker.kill().then(() => broker.start()));
      return served < 4 || served > 8 ? chunk : null;
    };
    const progress: number[] = [];
    const fetched = fetcherOf({ https: false }).fetch({ ...wanted, onProgress: (received) => progress.push(received) });
    expectFetched(await fetched);
    expect(new Set(progress).size).toBe(progress.length);
  });

  it('waits while the device is offline, and does not call that a failure', async () => {
    await broker.kill();
    await until('offline', () => !connection.online);
    const fetched = fetcherOf({ https: false, attempts: 1 }).fetch(wanted);
    expect(await Promise.race([fetched, new Promise((resolve) => setTimeout(resolve, 300, 'waiting'))])).toBe(
      'waiting',
    );
    await broker.start();
    expectFetched(await fetched);
  });

  it('goes on in a new process where an earlier one stopped', async () => {
    writeFileSync(join(folder, `${digest}.part`), bytes.subarray(0, 400_000));
    expectFetched(await fetcherOf().fetch(wanted));
    expect(broker.chunkRequests).toBe(Math.ceil(100_000 / MAX_CHUNK_BYTES));
  });

  it('fetches all of it once more where the part from before was damaged', async () => {
    writeFileSync(join(folder, `${digest}.part`), Buffer.alloc(400_000));
    expectFetched(await fetcherOf().fetch(wanted));
    writeFileSync(join(folder, `${digest}.part`), Buffer.alloc(SIZE + 5));
    rmSync(join(folder, digest));
    expectFetched(await fetcherOf().fetch(wanted));
  });

  it('stops when told to, keeps what it has, and goes on another time', async () => {
    const told = new AbortController();
    const stopped = fetcherOf().fetch({
      ...wanted,
      signal: told.signal,
      onProgress: (received) => received > 200_000 && told.abort(new InvalidInputError('enough')),
    });
    expect(await failure(stopped)).toMatchObject({ message: 'enough' });
    expect(readFileSync(join(folder, `${digest}.part`)).length).toBeGreaterThan(200_000);
    const before = broker.chunkRequests;
    expectFetched(await fetcherOf().fetch(wanted));
    expect(broker.chunkRequests - before).toBeLessThanOrEqual(5);
  });

  it('refuses other bytes than those it asked for, and keeps nothing of them', async () => {
    broker.onChunk = (chunk, offset) => (offset === 0 ? Buffer.alloc(chunk.length) : chunk);
    expect(await failure(fetcherOf().fetch(wanted))).toBeInstanceOf(DigestMismatchError);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses an artifact that is shorter than promised', async () => {
    broker.artifacts.set(digest, bytes.subarray(0, SIZE - 10));
    const error = await failure(fetcherOf().fetch(wanted));
    expect(error).toBeInstanceOf(SizeMismatchError);
    expect(error).toMatchObject({ reason: 'size-mismatch' });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('falls back to HTTPS from the byte where MQTT failed', async () => {
    listener.artifacts.set(digest, bytes);
    broker.onChunk = (chunk, offset) => (offset < 3 * MAX_CHUNK_BYTES ? chunk : null);
    expectFetched(await fetcherOf({ mqtt: { chunkTimeoutMs: 20, attemptsPerChunk: 2 } }).fetch(wanted));
    expect(listener.ranges).toEqual([`bytes=${3 * MAX_CHUNK_BYTES}-`]);
    expect([...listener.devices]).toEqual(['d-1']);
  });
});

describe('fetching an artifact over HTTPS', () => {
  beforeEach(() => void listener.artifacts.set(digest, bytes));

  it('is the first choice for what is larger than the limit for MQTT', async () => {
    expectFetched(await fetcherOf({ mqttMaxBytes: SIZE - 1 }).fetch(wanted));
    expect(listener.ranges).toEqual(['-']);
    expect(broker.chunkRequests).toBe(0);
  });

  it('is the fallback where MQTT does not give it', async () => {
    expectFetched(await fetcherOf().fetch(wanted));
    expect(listener.ranges).toEqual(['-']);
  });

  it('goes on by range requests as often as it is cut off', async () => {
    listener.cutAfter = 120_000;
    expectFetched(await fetcherOf({ mqttMaxBytes: 0 }).fetch(wanted));
    expect(listener.ranges.length).toBeGreaterThanOrEqual(5);
    expect(listener.ranges.slice(1).every((range) => /^bytes=\d+-$/.test(range))).toBe(true);
  });

  it('begins anew where the server does not know ranges', async () => {
    writeFileSync(join(folder, `${digest}.part`), bytes.subarray(0, 1_000));
    listener.ignoreRanges = true;
    expectFetched(await fetcherOf({ mqttMaxBytes: 0 }).fetch(wanted));
    expect(listener.ranges).toEqual(['bytes=1000-']);
  });

  it('falls back to MQTT where the listener cannot', async () => {
    broker.artifacts.set(digest, bytes);
    listener.status = 503;
    expectFetched(await fetcherOf({ mqttMaxBytes: 0 }).fetch(wanted));
  });

  it('refuses an artifact of another size', async () => {
    for (const size of [SIZE - 1, SIZE + 1]) {
      listener.artifacts.set(digest, randomBytes(size));
      expect(await failure(fetcherOf({ mqttMaxBytes: 0 }).fetch(wanted))).toBeInstanceOf(SizeMismatchError);
      writeFileSync(join(folder, `${digest}.part`), bytes.subarray(0, 1_000));
      expect(await failure(fetcherOf({ mqttMaxBytes: 0 }).fetch(wanted))).toBeInstanceOf(SizeMismatchError);
      expect(readdirSync(folder)).toEqual([]);
    }
  });
});

describe('fetching an artifact', () => {
  it('gives up, keeping what came, when no way works while connected', async () => {
    broker.artifacts.set(digest, bytes);
    broker.onChunk = (chunk, offset) => (offset < MAX_CHUNK_BYTES ? chunk : null);
    const fetcher = fetcherOf({ attempts: 2, mqtt: { chunkTimeoutMs: 10, attemptsPerChunk: 2 } });
    const error = await failure(fetcher.fetch(wanted));
    expect(error).toBeInstanceOf(DownloadFailedError);
    expect(error).toMatchObject({ reason: 'download-failed' });
    expect(readFileSync(join(folder, `${digest}.part`)).equals(bytes.subarray(0, MAX_CHUNK_BYTES))).toBe(true);
  });

  it('says before it begins that there is no room', async () => {
    broker.artifacts.set(digest, bytes);
    const error = await failure(fetcherOf({ reserveBytes: 2 ** 60 }).fetch(wanted));
    expect(error).toBeInstanceOf(NoSpaceError);
    expect(error).toMatchObject({ reason: 'no-space' });
    expect(broker.chunkRequests).toBe(0);
  });

  it('gives up the part when the disk is full in the middle: a full disk harms more', async () => {
    broker.artifacts.set(digest, bytes);
    symlinkSync('/dev/full', join(folder, `${digest}.part`));
    expect(await failure(fetcherOf().fetch(wanted))).toBeInstanceOf(NoSpaceError);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('lets a caller give up while it waits for another, who goes on', async () => {
    broker.artifacts.set(digest, bytes);
    const fetcher = fetcherOf();
    const first = fetcher.fetch(wanted);
    const told = new AbortController();
    const second = failure(fetcher.fetch({ ...wanted, signal: told.signal }));
    told.abort(new InvalidInputError('enough'));
    expect(await second).toMatchObject({ message: 'enough' });
    expectFetched(await first);
  });

  it('makes its folder, and refuses what is no digest', async () => {
    broker.artifacts.set(digest, bytes);
    const inner = join(folder, 'new', 'models');
    expect(await fetcherOf({ folder: inner }).fetch(wanted)).toBe(join(inner, digest));
    expect(await failure(fetcherOf().fetch({ digest: '../../etc/passwd', sizeBytes: 1 }))).toBeInstanceOf(
      InvalidInputError,
    );
    expect(readdirSync(folder)).toEqual(['new']);
  });
});
