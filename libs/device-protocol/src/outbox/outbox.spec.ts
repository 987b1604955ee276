import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodePayload, DELIVERY_CLASSES, MAX_DEVICE_PACKET_BYTES } from '@drover/contracts';
import type { DeliveryClass } from '@drover/contracts';
import { MessageTooLargeError, OutboxUnusableError } from '../errors.ts';
import { MemoryOutbox } from './memory-outbox.ts';
import type { Outbox, StoredMessage } from './outbox.ts';
import { SqliteOutbox } from './sqlite-outbox.ts';
import type { OutboxProblem } from './sqlite-outbox.ts';

let folder: string;
let path: string;
let problems: OutboxProblem[];
const opened: SqliteOutbox[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outbox-'));
  path = join(folder, 'outbox.db');
  problems = [];
});
afterEach(() => {
  for (const outbox of opened.splice(0)) outbox.stop();
  rmSync(folder, { recursive: true });
});

function open(bootId = 'boot-1', maxBytes = 2 ** 20): SqliteOutbox {
  const outbox = new SqliteOutbox({ path, bootId, maxBytes, onProblem: (problem) => problems.push(problem) });
  outbox.start();
  opened.push(outbox);
  return outbox;
}

const put = (outbox: Outbox, name: DeliveryClass, body: object = {}) =>
  outbox.put({ class: name, topic: `t/${name}`, body });
const all = (outbox: Outbox, name: DeliveryClass, after = 0): StoredMessage[] =>
  outbox.read(name, after, 1e6, Number.POSITIVE_INFINITY);
const numbers = (outbox: Outbox, name: DeliveryClass): string[] =>
  all(outbox, name).map(({ bootId, seq }) => `${bootId}:${seq}`);

describe.each<[string, (maxBytes?: number) => Outbox]>([
  ['a SQLite outbox', (maxBytes) => open('boot-1', maxBytes)],
  ['an outbox in memory', (maxBytes) => new MemoryOutbox({ bootId: 'boot-1', ...(maxBytes && { maxBytes }) })],
])('%s', (_name, make) => {
  it('gives back the bytes that were put, numbered per class, in order', () => {
    const outbox = make();
    expect(put(outbox, 'm', { t: 1 })).toEqual({ bootId: 'boot-1', class: 'm', seq: 1 });
    expect(put(outbox, 'm', { t: 2 }).seq).toBe(2);
    expect(put(outbox, 'e', { anomaly: {} }).seq).toBe(1);
    outbox.flush();
    const [first, second] = all(outbox, 'm');
    expect(decodePayload(first!.payload)).toEqual({ t: 1, bootId: 'boot-1', class: 'm', seq: 1 });
    expect(second).toMatchObject({ bootId: 'boot-1', class: 'm', seq: 2, topic: 't/m' });
    expect(all(outbox, 'm', first!.id)).toEqual([second]);
    expect(outbox.status()).toMatchObject({ pending: 3, dropped: { m: 0, e: 0, s: 0 } });
  });

  it('encodes large batches as CBOR where asked to', () => {
    const outbox = make();
    outbox.put({ class: 'm', topic: 't', body: { columns: [[1, 2]] }, codec: 'cbor' });
    outbox.flush();
    const [stored] = all(outbox, 'm');
    expect(stored!.payload[0]).toBe(1);
    expect(decodePayload(stored!.payload)).toMatchObject({ columns: [[1, 2]], seq: 1 });
  });

  it('never lets a body bring its own number', () => {
    const outbox = make();
    put(outbox, 'e', { seq: 900, bootId: 'x', class: 'm' });
    outbox.flush();
    expect(decodePayload(all(outbox, 'e')[0]!.payload)).toEqual({ seq: 1, bootId: 'boot-1', class: 'e' });
  });

  it('refuses what no server would take, and gives its number to the next', () => {
    const outbox = make();
    expect(() => put(outbox, 'm', { text: 'x'.repeat(MAX_DEVICE_PACKET_BYTES) })).toThrow(MessageTooLargeError);
    expect(put(outbox, 'm').seq).toBe(1);
  });

  it('bounds what a reader gets, but always gives something', () => {
    const outbox = make();
    for (let n = 0; n < 10; n += 1) put(outbox, 'm', { text: 'x'.repeat(1_000) });
    outbox.flush();
    expect(outbox.read('m', 0, 3, 1e9)).toHaveLength(3);
    expect(outbox.read('m', 0, 10, 2_500)).toHaveLength(2);
    expect(outbox.read('m', 0, 10, 1)).toHaveLength(1);
  });

  it('forgets what is removed or said to be committed, and counts what is left', () => {
    const outbox = make();
    for (let n = 0; n < 10; n += 1) put(outbox, 'm');
    put(outbox, 'e');
    outbox.flush();
    const ids = all(outbox, 'm').map(({ id }) => id);
    outbox.remove('m', [ids[0]!, ids[1]!, ids[4]!, 12_345]);
    outbox.removeCommitted('boot-1', 'm', [
      [7, 8],
      [10, 900],
    ]);
    outbox.removeCommitted('boot-0', 'm', [[1, 900]]);
    expect(numbers(outbox, 'm')).toEqual(['boot-1:3', 'boot-1:4', 'boot-1:6', 'boot-1:9']);
    expect(outbox.status().pending).toBe(5);
    outbox.removeCommitted('boot-1', 'm', [[1, 900]]);
    outbox.removeCommitted('boot-1', 'e', [[1, 1]]);
    expect(outbox.status()).toMatchObject({ pending: 0, bytes: 0 });
  });

  it('tells listeners of news, until they stop listening', async () => {
    const outbox = make();
    let told = 0;
    const stop = outbox.onStored(() => (told += 1));
    put(outbox, 'm');
    expect(told).toBe(0);
    outbox.flush();
    await Promise.resolve();
    expect(told).toBe(1);
    stop();
    put(outbox, 'm');
    outbox.flush();
    await Promise.resolve();
    expect(told).toBe(1);
  });

  it('when full gives up the oldest measurements, then old state, then events, and counts each', () => {
    const outbox = make(2 ** 20);
    const body = { text: 'x'.repeat(50_000) };
    for (let n = 0; n < 3; n += 1) put(outbox, 's', body);
    for (let n = 0; n < 5; n += 1) put(outbox, 'e', body);
    for (let n = 0; n < 30; n += 1) put(outbox, 'm', body);
    outbox.flush();
    expect(numbers(outbox, 'm').at(-1)).toBe('boot-1:30');
    expect(outbox.status().bytes).toBeLessThanOrEqual(2 ** 20);
    expect(outbox.status().dropped).toEqual({ m: 30 - all(outbox, 'm').length, e: 0, s: 0 });
    expect(all(outbox, 'm').length).toBeGreaterThan(10);
    for (let n = 0; n < 30; n += 1) put(outbox, 'e', body);
    outbox.flush();
    expect(all(outbox, 'm')).toEqual([]);
    expect(numbers(outbox, 's')).toEqual(['boot-1:3']);
    expect(numbers(outbox, 'e').at(-1)).toBe('boot-1:35');
    const { dropped } = outbox.status();
    expect(dropped).toEqual({ m: 30, s: 2, e: 35 - all(outbox, 'e').length });
    expect(dropped.e).toBeGreaterThan(0);
  });

  it('holds after any sequence of operations exactly what was put and neither removed nor dropped', () => {
    const operation = fc.oneof(
      fc.record({ do: fc.constant('put' as const), name: fc.constantFrom(...DELIVERY_CLASSES) }),
      fc.record({ do: fc.constant('remove' as const), name: fc.constantFrom(...DELIVERY_CLASSES), seq: fc.nat(20) }),
      fc.record({
        do: fc.constant('commit' as const),
        name: fc.constantFrom(...DELIVERY_CLASSES),
        seq: fc.nat(20),
        more: fc.nat(5),
      }),
      fc.record({ do: fc.constant('flush' as const) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        rmSync(path, { force: true });
        const outbox = make();
        const expected: Record<DeliveryClass, Set<number>> = { m: new Set(), e: new Set(), s: new Set() };
        for (const step of operations) {
          if (step.do === 'put') expected[step.name].add(put(outbox, step.name).seq);
          else if (step.do === 'flush') outbox.flush();
          else if (step.do === 'remove') {
            const found = all(outbox, step.name).find(({ seq }) => seq === step.seq);
            if (found) expected[step.name].delete(step.seq);
            if (found) outbox.remove(step.name, [found.id]);
          } else {
            outbox.removeCommitted('boot-1', step.name, [[step.seq, step.seq + step.more]]);
            for (let n = step.seq; n <= step.seq + step.more; n += 1) expected[step.name].delete(n);
          }
        }
        outbox.flush();
        for (const name of DELIVERY_CLASSES) {
          expect(all(outbox, name).map(({ seq }) => seq)).toEqual([...expected[name]]);
        }
        expect(outbox.status().pending).toBe(DELIVERY_CLASSES.reduce((sum, name) => sum + expected[name].size, 0));
        if (outbox instanceof SqliteOutbox) outbox.stop();
      }),
      { numRuns: 50 },
    );
  });
});

describe('a SQLite outbox', () => {
  it('makes messages durable together, a moment after they were put', async () => {
    const outbox = open();
    const stored = new Promise<void>((resolve) => outbox.onStored(resolve));
    for (let n = 0; n < 10; n += 1) put(outbox, 'm');
    expect(all(outbox, 'm')).toEqual([]);
    await stored;
    expect(all(outbox, 'm')).toHaveLength(10);
  });

  it('keeps everything over restarts, and numbers each boot anew', () => {
    let outbox = open('boot-1');
    for (let n = 0; n < 3; n += 1) put(outbox, 'm');
    put(outbox, 'e');
    outbox.stop();
    outbox = open('boot-2');
    put(outbox, 'm');
    outbox.stop();
    outbox = open('boot-3');
    put(outbox, 'm');
    outbox.flush();
    expect(numbers(outbox, 'm')).toEqual(['boot-1:1', 'boot-1:2', 'boot-1:3', 'boot-2:1', 'boot-3:1']);
    outbox.removeCommitted('boot-1', 'm', [[2, 100]]);
    outbox.removeCommitted('boot-2', 'm', [[1, 100]]);
    expect(numbers(outbox, 'm')).toEqual(['boot-1:1', 'boot-3:1']);
    expect(decodePayload(all(outbox, 'm')[1]!.payload)).toMatchObject({ bootId: 'boot-3', seq: 1 });
    expect(numbers(outbox, 'e')).toEqual(['boot-1:1']);
  });

  it('remembers over restarts what it dropped', () => {
    let outbox = open();
    for (let n = 0; n < 30; n += 1) put(outbox, 'm', { text: 'x'.repeat(50_000) });
    outbox.flush();
    const { dropped, bytes } = outbox.status();
    expect(dropped.m).toBeGreaterThan(5);
    outbox.stop();
    outbox = open('boot-2');
    expect(outbox.status()).toMatchObject({ dropped, bytes });
  });

  it('is readable by its owner only', () => {
    put(open(), 'm');
    opened[0]!.flush();
    for (const file of readdirSync(folder)) expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
  });

  it('belongs to one process at a time', () => {
    open();
    expect(() => open('boot-2')).toThrow(OutboxUnusableError);
  });

  it('sets a file aside that is no database, and says so', () => {
    writeFileSync(path, 'not a database at all, but long enough to be looked at as one'.repeat(20));
    const outbox = open();
    put(outbox, 'e');
    outbox.flush();
    expect(numbers(outbox, 'e')).toEqual(['boot-1:1']);
    expect(problems).toEqual([{ kind: 'damaged', movedTo: `${path}.damaged`, cause: expect.any(String) }]);
    expect(statSync(`${path}.damaged`).size).toBeGreaterThan(100);
  });

  it('sets a damaged database aside', () => {
    let outbox = open();
    for (let n = 0; n < 200; n += 1) put(outbox, 'm', { text: 'x'.repeat(500) });
    outbox.stop();
    const { size } = statSync(path);
    scribble(path, 4_096 * 3, size - 4_096 * 3);
    outbox = open('boot-2');
    expect(problems.map(({ kind }) => kind)).toEqual(['damaged']);
    put(outbox, 'm');
    outbox.flush();
    expect(numbers(outbox, 'm')).toEqual(['boot-2:1']);
  });

  it('goes on with the same numbers when the damage shows while it runs', () => {
    let outbox = open();
    for (let n = 0; n < 30_000; n += 1) put(outbox, 'm', { text: 'x'.repeat(500) });
    outbox.stop();
    // Larger than what is checked at opening.
    outbox = new SqliteOutbox({ path, bootId: 'boot-2', maxBytes: 2 ** 30, onProblem: (p) => problems.push(p) });
    outbox.start();
    opened.push(outbox);
    for (let n = 0; n < 30_000; n += 1) put(outbox, 'm', { text: 'x'.repeat(500) });
    outbox.stop();
    outbox = new SqliteOutbox({ path, bootId: 'boot-3', maxBytes: 2 ** 30, onProblem: (p) => problems.push(p) });
    outbox.start();
    opened.push(outbox);
    expect(put(outbox, 'm').seq).toBe(1);
    outbox.flush();
    truncateSync(path, 12 * 2 ** 20);
    const before = outbox.read('m', 0, 10, 1e6).at(-1)?.id ?? 0;
    put(outbox, 'm');
    while (problems.length === 0) {
      outbox.remove(
        'm',
        all(outbox, 'm').map(({ id }) => id),
      );
      outbox.flush();
    }
    expect(problems.map(({ kind }) => kind)).toEqual(['damaged']);
    put(outbox, 'm');
    outbox.flush();
    const left = all(outbox, 'm');
    expect(left.at(-1)).toMatchObject({ bootId: 'boot-3', seq: 3 });
    expect(left.at(-1)!.id).toBeGreaterThan(before);
  });

  it('has lost nothing that was durable when its process is killed', async () => {
    const child = startChild('exec "$0" --conditions=source "$1" "$2"');
    await child.says((line) => Number(line.split(' ')[1]) >= 400);
    child.process.kill('SIGKILL');
    await once(child.process, 'close');
    const durable = Number(child.lines.at(-1)!.split(' ')[1]);
    const found = all(open('boot-2'), 'm').map(({ seq }) => seq);
    expect(found.length).toBeGreaterThanOrEqual(durable);
    expect(found).toEqual(found.map((_, index) => index + 1));
    expect(problems).toEqual([]);
  });

  it('keeps messages in memory while the disk takes no more, and writes them when it does again', async () => {
    // A limit on the size of a file stands for a full disk: SQLite meets the same failure when it writes.
    const child = startChild('ulimit -Sf 1024; exec "$0" --conditions=source "$1" "$2"');
    await child.says((line) => line === 'problem write-failed');
    const before = Number(child.lines.findLast((line) => line.startsWith('durable'))!.split(' ')[1]);
    execFileSync('prlimit', ['--pid', String(child.process.pid), '--fsize=unlimited:unlimited']);
    await child.says((line) => Number(line.split(' ')[1]) > before + 20);
    child.process.kill('SIGKILL');
    await once(child.process, 'close');
    const found = all(open('boot-2'), 'm').map(({ seq }) => seq);
    expect(found).toEqual(found.map((_, index) => index + 1));
    expect(found.length).toBeGreaterThan(before + 20);
  });
});

function startChild(command: string) {
  const script = fileURLToPath(new URL('../fixtures/outbox-process.ts', import.meta.url));
  const child = spawn('sh', ['-c', command, process.execPath, script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => lines.push(line));
  const says = (what: (line: string) => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      if (lines.some(what)) return resolve();
      reader.on('line', (line) => what(line) && resolve());
      child.once('close', () => reject(new TypeError(`it ended after: ${lines.slice(-3).join(', ')}`)));
    });
  return { process: child, lines, says };
}

function scribble(file: string, at: number, length: number): void {
  const handle = openSync(file, 'r+');
  const bytes = Buffer.alloc(Math.min(length, 4_096));
  readSync(handle, bytes, 0, bytes.length, at);
  for (let n = 0; n < length; n += bytes.length) {
    writeSync(
      handle,
      bytes.map((byte, index) => byte ^ ((index * 31 + 7) & 0xff)),
      0,
      Math.min(bytes.length, length - n),
      at + n,
    );
  }
  closeSync(handle);
}
