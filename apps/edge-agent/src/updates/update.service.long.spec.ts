import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredPipeline, ExecutionReport } from '@drover/contracts';
import { ServerUnreachableError } from '@drover/device-protocol';
import { generateKeyPair } from '@drover/trust';
import { ReleaseSource } from './release.fixture.ts';
import type { SampleRelease } from './release.fixture.ts';
import { Workbench } from './workbench.fixture.ts';
import type { WorkbenchOptions } from './workbench.fixture.ts';

let source: ReleaseSource;
let benches: Workbench[];
let folders: string[];

beforeEach(() => {
  source = new ReleaseSource();
  benches = [];
  folders = [];
});
afterEach(async () => {
  for (const bench of benches) await bench.close();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function open(options: Omit<WorkbenchOptions, 'source'> = {}): Promise<Workbench> {
  const bench = await Workbench.open({ source, ...options });
  benches.push(bench);
  return bench;
}

/** A copy of a workbench's folder as it is now. */
async function copyOf(folder: string): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'drover-cut-'));
  folders.push(copy);
  await cp(folder, copy, { recursive: true });
  return copy;
}

const SUCCESS = [
  'IN_PROGRESS DOWNLOADING',
  'IN_PROGRESS DOWNLOADED',
  'IN_PROGRESS VERIFIED',
  'IN_PROGRESS BENCHMARKING',
  'IN_PROGRESS ACTIVATING',
  'IN_PROGRESS PROBATION',
  'SUCCEEDED',
];

describe('an update', () => {
  it('takes a release through every step, reports each, and detects with it', async () => {
    const bench = await open();
    await bench.want(source.publish({ release: 'one' }));
    expect(bench.story).toEqual(SUCCESS);
    expect(bench.reports.map((report) => report.sequence)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(bench.reports.at(-1)).toMatchObject({ execution: 'execution-one', variant: 'fp32', provider: 'cpu' });
    expect(bench.benchmarks).toMatchObject([{ pipeline: 'pump', release: 'one', variant: 'fp32', provider: 'cpu' }]);
    bench.feed(20, 8);
    await bench.until(() => bench.anomalies.length > 0);
    expect(bench.anomalies[0]).toMatchObject({
      pipeline: 'pump',
      state: 'open',
      release: 'one',
      variant: 'fp32',
      provider: 'cpu',
      rollout: 'rollout-one',
      peakScore: 400,
      threshold: 50,
    });
  });

  it('takes the candidate that is clearly faster here, and says how fast each was', async () => {
    const bench = await open();
    const variants = [{ name: 'slow', ballast: 3 }, { name: 'fast' }];
    await bench.want(source.publish({ release: 'one', variants }));
    expect(bench.benchmarks.map((benchmark) => benchmark.variant)).toEqual(['slow', 'fast']);
    expect(bench.journal.get('pump').serving?.variant).toBe('fast');
  });

  it('goes on with the other candidates when one does not pass its checks', async () => {
    const bench = await open();
    const variants = [
      { name: 'wrong', wrongGolden: true },
      { name: 'right', ballast: 10 },
    ];
    await bench.want(source.publish({ release: 'one', variants }));
    expect(bench.journal.get('pump').serving?.variant).toBe('right');
  });

  it('detects with the thresholds of a calibration for the variant', async () => {
    const bench = await open();
    const policy = { kind: 'threshold', threshold: 1_000, releaseRatio: 0.8, minLength: 1 } as const;
    const calibration = (variantDigest: string) => ({ version: 3, variantDigest, policy });
    await bench.want(source.publish({ release: 'one', calibration }));
    bench.feed(20, 8);
    bench.feed(50, 8);
    await bench.until(() => bench.anomalies.length > 0);
    expect(bench.anomalies[0]).toMatchObject({ threshold: 1_000, calibrationVersion: 3 });
  });

  it('is silent where no execution asks for it', async () => {
    const bench = await open();
    await bench.want(source.publish({ release: 'one', execution: null }));
    expect(bench.story).toEqual([]);
    expect(bench.serving).toBe('one');
  });

  it('confirms at once what serves already', async () => {
    const bench = await open();
    const one = source.publish({ release: 'one' });
    await bench.want(one);
    await bench.want({ ...one, execution: 'again', rollout: 'second' });
    expect(bench.story.slice(SUCCESS.length)).toEqual(['SUCCEEDED']);
    expect(bench.updates.running('pump')?.rollout).toBe('second');
  });

  it('stops detection when nothing is wanted any more', async () => {
    const bench = await open();
    await bench.want(source.publish({ release: 'one' }));
    await bench.want(null);
    expect(bench.serving).toBeNull();
    bench.feed(20, 8);
    expect((await bench.pipelines.figures('pump')).windows).toBe(0);
  });
});

describe('an update that must not be', () => {
  const stranger = generateKeyPair();
  const cases: [string, Partial<SampleRelease>, string][] = [
    ['is signed by a stranger', { signedBy: stranger }, 'FAILED DOWNLOADING signature-invalid'],
    ['is of another fleet', { fleet: 'other' }, 'FAILED DOWNLOADING manifest-invalid'],
    [
      'needs a channel that the sensor lacks',
      { channels: ['pressure', 'torque'] },
      'FAILED DOWNLOADING signature-mismatch',
    ],
    ['has none of the candidates', { candidates: ['int4'] }, 'FAILED DOWNLOADING no-candidate'],
    ['needs more memory', { variants: [{ minMemoryBytes: 2 ** 40 }] }, 'FAILED DOWNLOADING no-candidate'],
    ['is older than what serves', { version: 1 }, 'FAILED DOWNLOADING downgrade-refused'],
    ['does not load', { variants: [{ bytes: Buffer.from('no graph') }] }, 'FAILED DOWNLOADED graph-invalid'],
    ['misses its golden vectors', { variants: [{ wrongGolden: true }] }, 'FAILED DOWNLOADED golden-mismatch'],
  ];

  it.each(cases)('because it %s fails with a reason, and the old release keeps serving', async (_, changes, end) => {
    const bench = await open();
    await bench.want(source.publish({ release: 'old', version: 2 }));
    const before = bench.reports.length;
    const bad = source.publish({ release: 'new', version: 3, ...changes });
    await bench.want(bad);
    expect(bench.story.at(-1)).toBe(end);
    expect(bench.reports.at(-1)!.message).not.toBe('');
    expect(bench.serving).toBe('old');
    bench.feed(20, 8);
    await bench.until(() => bench.anomalies.length > 0);
    expect(bench.anomalies[0]!.release).toBe('old');
    // Told again, it is not tried again: a new try is a new execution.
    const told = bench.reports.length;
    await bench.want(bad);
    expect(bench.reports.length).toBe(told);
    expect(bench.reports.slice(before).map((report) => report.sequence)).toEqual(
      bench.reports.slice(before).map((_report, i) => i + 1),
    );
  });

  it('because an artifact cannot be had fails as a download', async () => {
    const bench = await open();
    const one = source.publish({ release: 'one' });
    source.withdraw(one.manifest.digest);
    await bench.want(one);
    expect(bench.story.at(-1)).toBe('FAILED DOWNLOADING download-failed');
  });

  it('because the pipeline is unknown is rejected', async () => {
    const bench = await open();
    await bench.want(null, { conveyor: source.publish({ release: 'one' }) });
    expect(bench.story).toEqual(['REJECTED pipeline-unknown']);
  });

  it('comes back as a rollback where that is what is signed', async () => {
    const bench = await open();
    await bench.want(source.publish({ release: 'two', version: 2 }));
    await bench.want(source.publish({ release: 'one', version: 1, rollback: true }));
    expect(bench.serving).toBe('one');
  });
});

describe('probation', () => {
  it('ends at once, with the old release back, when a score is no number', async () => {
    const bench = await open();
    await bench.want(source.publish({ release: 'old' }));
    bench.probationMs = 60_000;
    bench.wish(source.publish({ release: 'new', version: 2, variants: [{ breaksOver: 100 }] }));
    await bench.until(() => bench.story.at(-1) === 'IN_PROGRESS PROBATION');
    bench.feed(20, 8);
    await bench.until(() => bench.story.at(-1)!.startsWith('FAILED'));
    expect(bench.story.at(-1)).toBe('FAILED PROBATION probation-failed');
    expect(bench.updates.running('pump')?.release).toBe('old');
    bench.feed(20, 8);
    await bench.until(() => bench.anomalies.some((anomaly) => anomaly.release === 'old'));
  });

  it('gives way to what is wanted instead', async () => {
    const bench = await open({ probationMs: 60_000 });
    bench.wish(source.publish({ release: 'one' }));
    await bench.until(() => bench.story.at(-1) === 'IN_PROGRESS PROBATION');
    bench.wish(source.publish({ release: 'two', version: 2 }));
    await bench.until(() => bench.reports.some((report) => report.execution === 'execution-two'));
    expect(bench.story).toContain('CANCELED superseded');
    await bench.until(() => bench.updates.running('pump')?.release === 'two');
  });
});

const away = async (): Promise<never> => {
  throw new ServerUnreachableError('there is no network');
};

describe('after a restart', () => {
  it('the last verified release serves from disk, with no network and no instruction', async () => {
    const before = await open();
    await before.want(source.publish({ release: 'one' }));
    const after = await open({ from: before.folder, fetch: away });
    after.feed(20, 8);
    await after.until(() => after.anomalies.length > 0);
    expect(after.anomalies[0]!.release).toBe('one');
    // The last report may have been cut off: it is sent again, under its number.
    expect(after.reports).toEqual([before.reports.at(-1)]);
  });

  it('an anomaly that was open goes on, or ends, under its id', async () => {
    const before = await open();
    await before.want(source.publish({ release: 'one' }));
    before.feed(20, 8);
    await before.until(() => before.anomalies.length > 0);
    await before.stop();
    const after = await open({ from: before.folder, fetch: away });
    after.feed(0, 20);
    await after.until(() => after.anomalies.some((anomaly) => anomaly.state === 'closed'));
    expect(after.anomalies.at(-1)!.id).toBe(before.anomalies[0]!.id);
  });

  it('the release before serves where the last one is damaged, and the wanted one is fetched again', async () => {
    const before = await open();
    const two = source.publish({ release: 'two', version: 2, variants: [{ gain: 2 }] });
    await before.want(source.publish({ release: 'one' }));
    await before.want(two);
    await before.damage(before.journal.get('pump').serving!.variantDigest);
    const after = await open({ from: before.folder });
    expect(after.serving).toBe('one');
    expect(after.logs).toContain('restore-failed');
    await after.want(two);
    expect(after.serving).toBe('two');
  });

  it('a stopped probation starts over and does not count against the release', async () => {
    const before = await open({ probationMs: 60_000 });
    const one = source.publish({ release: 'one' });
    before.wish(one);
    await before.until(() => before.story.at(-1) === 'IN_PROGRESS PROBATION');
    await before.stop();
    expect(before.journal.get('pump').attempt).toMatchObject({ phase: 'benchmarked', activations: 0 });
    const after = await open({ from: before.folder });
    await after.want(one);
    expect(after.serving).toBe('one');
  });
});

describe('a power cut', () => {
  it('at any write of the journal leaves a verified release serving, and the update is completed afterwards', async () => {
    const cuts: { folder: string; reports: ExecutionReport[] }[] = [];
    const old = source.publish({ release: 'old' });
    const first = await open();
    await first.want(old);
    await first.stop();
    const next = source.publish({ release: 'new', version: 2, variants: [{ gain: 2 }] });
    const running: Workbench = await open({
      from: first.folder,
      onJournal: async (folder) => {
        // Between the deed before and this write: the old journal, and whatever is on the disk.
        cuts.push({ folder: await copyOf(folder), reports: [...running.reports] });
      },
    });
    await running.want(next);
    expect(running.serving).toBe('new');
    expect(cuts.length).toBeGreaterThan(8);
    for (const cut of cuts) {
      const after = await open({ from: cut.folder });
      expect(after.updates.running('pump')?.release).toBe('old');
      expect((await after.pipelines.figures('pump')).windows).toBe(0);
      await after.want(next);
      expect(after.serving).toBe('new');
      const sent = new Map(cut.reports.map((report) => [`${report.execution}:${report.sequence}`, report]));
      for (const report of after.reports) {
        const same = sent.get(`${report.execution}:${report.sequence}`);
        if (same !== undefined) expect(report).toEqual(same);
      }
      expect(after.reports.at(-1)).toMatchObject({ execution: 'execution-new', status: 'SUCCEEDED' });
      await after.stop();
    }
  }, 60_000);
});

describe('artifacts', () => {
  it('of what serves, served before and is wanted stay; all others go', async () => {
    const bench = await open();
    const published: DesiredPipeline[] = [1, 2, 3].map((version) =>
      source.publish({ release: `v${version}`, version, variants: [{ gain: version }] }),
    );
    for (const target of published) await bench.want(target);
    const bad = source.publish({ release: 'v4', version: 4, variants: [{ gain: 4, wrongGolden: true }] });
    await bench.want(bad);
    const { serving, previous } = bench.journal.get('pump');
    const kept = [serving!, previous!].flatMap((served) => [served.manifest.digest, served.variantDigest]);
    expect(serving?.release).toBe('v3');
    expect(previous?.release).toBe('v2');
    // Tidied behind the update's back.
    await expect.poll(() => readdir(bench.shelf.folder)).toHaveLength(6);
    const names = await readdir(bench.shelf.folder);
    expect(names).toEqual(expect.arrayContaining(kept));
    expect(names).toContain(bad.manifest.digest);
    expect(names).not.toContain(published[0]!.manifest.digest);
  });
});
