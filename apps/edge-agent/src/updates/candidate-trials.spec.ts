import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { benchmarkMessageSchema } from '@drover/contracts';
import { ReleaseSource } from './release.fixture.ts';
import { Workbench } from './workbench.fixture.ts';
import type { WorkbenchOptions } from './workbench.fixture.ts';

let source: ReleaseSource;
let benches: Workbench[];
beforeEach(() => {
  source = new ReleaseSource();
  benches = [];
});
afterEach(async () => {
  for (const bench of benches) await bench.close();
});

async function open(options: Omit<WorkbenchOptions, 'source'> = {}): Promise<Workbench> {
  const bench = await Workbench.open({ source, ...options });
  benches.push(bench);
  return bench;
}

/** What was told of each candidate. */
function told(bench: Workbench): Record<string, string> {
  for (const benchmark of bench.benchmarks) {
    benchmarkMessageSchema.parse({ bootId: 'b', class: 'e', seq: 1, benchmark });
  }
  return Object.fromEntries(
    bench.benchmarks.map(({ variant, chosen, reason }) => [chosen === true ? `*${variant}` : variant, reason!]),
  );
}

/** A run takes a hundred times as long as one of the others, and no longer than that: it is run hundreds of times. */
const slow = { name: 'slow', ballast: 3 };

describe('the candidates of a release', () => {
  it('are measured on this hardware, and each is told with figures and a reason', async () => {
    const bench = await open({ temperatureC: 41 });
    await bench.want(source.publish({ release: 'one', variants: [slow, { name: 'fast' }] }));
    expect(told(bench)).toEqual({
      slow: 'slower than fast',
      '*fast': expect.stringMatching(/^fastest: \d+\.\d times as fast as slow$/),
    });
    for (const benchmark of bench.benchmarks) {
      expect(benchmark.runs).toBeGreaterThan(0);
      expect(benchmark.p50Us).toBeGreaterThan(0);
      expect(benchmark.memoryBytes).toBeGreaterThan(10 * 2 ** 20);
      expect(benchmark.temperature).toEqual({ beforeC: 41, afterC: 41 });
    }
  });

  it('that miss their golden vectors are dropped, and another is taken', async () => {
    const bench = await open();
    const variants = [{ name: 'bad', wrongGolden: true }, slow];
    await bench.want(source.publish({ release: 'one', variants }));
    expect(bench.story.at(-1)).toBe('SUCCEEDED');
    expect(bench.journal.get('pump').serving?.variant).toBe('slow');
    expect(told(bench)).toEqual({ '*slow': 'only candidate that works here', bad: 'golden vectors differ' });
    expect(bench.benchmarks.find(({ variant }) => variant === 'bad')?.runs).toBe(0);
  });

  it('that all miss them fail the execution as golden-mismatch, whatever else is wrong with others', async () => {
    const bench = await open();
    const variants = [
      { name: 'broken', bytes: Buffer.from('no graph') },
      { name: 'bad', wrongGolden: true },
      { name: 'large', peakMemoryBytes: 2 ** 40 },
      { name: 'worse', wrongGolden: true, gain: 2 },
    ];
    await bench.want(source.publish({ release: 'one', variants }));
    expect(bench.story.at(-1)).toBe('FAILED DOWNLOADED golden-mismatch');
    expect(bench.reports.at(-1)!.message).toMatch(/bad: .*worse: .*broken: .*large: needs more memory/);
    expect(told(bench)).toMatchObject({ bad: 'golden vectors differ', large: 'needs more memory than there is' });
    expect(bench.serving).toBeNull();
  });

  it('that the server does not give are dropped', async () => {
    const bench = await open();
    const target = source.publish({ release: 'one', variants: [{ name: 'gone', gain: 3 }, { name: 'here' }] });
    const digest = source.digestOf('one', 'gone');
    source.withdraw(digest);
    await bench.want(target);
    expect(bench.journal.get('pump').serving?.variant).toBe('here');
    expect(told(bench)['gone']).toMatch(/does not give/);
  });

  it('are fetched as far as the disk has room, the preferred before the others', async () => {
    const bench = await open({ roomBytes: 160_000 });
    const variants = [{ name: 'first', ballast: 1 }, { name: 'second', ballast: 2 }, { name: 'small' }];
    await bench.want(source.publish({ release: 'one', variants }));
    expect(told(bench)['second']).toBe('no room for it on the disk');
    expect(source.asked).not.toContain(source.digestOf('one', 'second'));
    expect(bench.story.at(-1)).toBe('SUCCEEDED');
  });

  it('fail for want of room where none fits', async () => {
    const bench = await open({ roomBytes: 0 });
    await bench.want(source.publish({ release: 'one' }));
    expect(bench.story.at(-1)).toBe('FAILED DOWNLOADING no-space');
  });

  it('are dropped when running them takes more memory than the board has for them', async () => {
    // Nothing says that the model is large: only running it shows it.
    const bench = await open({ memoryBytes: 24 * 2 ** 20 });
    const variants = [{ name: 'hungry', scratchValues: 12 * 2 ** 20 }, { name: 'modest' }];
    await bench.want(source.publish({ release: 'one', variants }));
    expect(told(bench)).toEqual({
      '*modest': 'only candidate that works here',
      hungry: 'needs more memory than there is',
    });
  });
});

describe('a power cut while candidates are measured', () => {
  it('has them measured again, and nothing fetched again', async () => {
    const cuts: string[] = [];
    const target = source.publish({ release: 'one', variants: [slow, { name: 'fast' }] });
    const running: Workbench = await open({
      onJournal: async (folder) => {
        if (running.journal.get('pump').attempt?.phase !== 'verified') return;
        const copy = await mkdtemp(join(tmpdir(), 'drover-cut-'));
        cuts.push(copy);
        await cp(folder, copy, { recursive: true });
      },
    });
    await running.want(target);
    const fetched = source.asked.length;
    // In the middle of the second candidate, and before the choice was written down.
    expect(cuts.length).toBeGreaterThanOrEqual(3);
    for (const cut of cuts.slice(-2)) {
      const after = await open({ from: cut });
      await after.want(target);
      expect(after.journal.get('pump').serving?.variant).toBe('fast');
      expect(Object.keys(told(after))).toEqual(['slow', '*fast']);
    }
    expect(source.asked.length).toBe(fetched);
    for (const cut of cuts) await rm(cut, { recursive: true, force: true });
  });
});

describe('a packed model', () => {
  it('is unpacked when it is loaded; the disk keeps what was sent', async () => {
    const bench = await open();
    await bench.want(source.publish({ release: 'one', variants: [{ packed: { lie: 0 } }] }));
    expect(bench.story.at(-1)).toBe('SUCCEEDED');
    bench.feed(20, 8);
    await bench.until(() => bench.anomalies.length > 0);
    await bench.stop();
    const after = await open({ from: bench.folder });
    expect(after.serving).toBe('one');
    after.feed(0, 20);
    await after.until(() => after.anomalies.at(-1)?.state === 'closed');
  });

  it.each([-1, 1])('that unpacks to another size (%i) is refused', async (lie) => {
    const bench = await open();
    await bench.want(source.publish({ release: 'one', variants: [{ packed: { lie } }] }));
    expect(bench.story.at(-1)).toBe('FAILED DOWNLOADED size-mismatch');
  });
});

describe('a candidate that ends the agent', () => {
  it('is tried three times, then dropped for another', async () => {
    const before = await open({ probationMs: 60_000 });
    const target = source.publish({ release: 'one', variants: [{ name: 'deadly' }, slow] });
    before.wish(target);
    await before.until(() => before.story.at(-1) === 'IN_PROGRESS PROBATION');
    await before.stop();
    // As a process leaves it that was ended in the middle of trying, for the third time.
    const record = before.journal.get('pump');
    const attempt = { ...record.attempt!, phase: 'downloaded', chosen: null, tries: { deadly: 3 } } as const;
    await before.journal.set('pump', { ...record, attempt });
    const after = await open({ from: before.folder });
    await after.want(target);
    expect(after.journal.get('pump').serving?.variant).toBe('slow');
    expect(told(after)['deadly']).toBe('the agent ended 3 times while trying it');
  });
});
