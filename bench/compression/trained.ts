import { zstdDecompressSync } from 'node:zlib';
import type { ModelCard, VariantKind } from '@drover/contracts';
import { buildRelease } from '@drover/factory';
import type { BuildOptions, BuiltRelease, FamilySpec, NamedRecording } from '@drover/factory';
import { bundledRecordings, findRecordings, loadRecording } from '@drover/recordings';
import { BenchFailedError } from '../harness/bench-failed.ts';
import type { Measure } from '../harness/bench.ts';
import { race } from './interleaved.ts';
import type { Speed } from './interleaved.ts';

interface Network {
  readonly label: string;
  readonly family: FamilySpec;
  readonly window?: number;
  /** All that fit the family, by default. */
  readonly variants?: readonly VariantKind[];
  /** Whether running it takes long enough for its work to be seen beside what any run costs. */
  readonly large: boolean;
}

const NETWORKS: readonly Network[] = [
  { label: 'dense-ae', family: { name: 'dense-ae' }, large: false },
  {
    label: 'large dense-ae',
    // Trained with less than would be best: what is compared is the variants with each other.
    family: {
      name: 'dense-ae',
      options: { hidden: [512, 128, 32, 128, 512], epochs: 15, folds: 2, maxWindows: 500 },
    },
    window: 64,
    variants: ['fp16', 'int8', 'int4', 'pruned'],
    large: true,
  },
  { label: 'conv', family: { name: 'conv' }, large: false },
];
/** Of a folder of recordings, every so many is taken: each is a training of its own. */
const MOST_RECORDINGS = 4;
const TRAIN_ROWS = 400;

type Variant = ModelCard['variants'][number];

interface Goals {
  readonly loss?: number;
  readonly agreement?: number;
  /** Time of fp32 by its own. */
  readonly speedUp?: number;
  /** VUS-PR by fp32's. */
  readonly quality?: number;
  readonly size?: number;
}

const GOALS: Readonly<Record<string, Goals>> = {
  int8: { loss: 0.01, agreement: 0.99 },
  int4: { loss: 0.03 },
  'pruned-50': { loss: 0.02, speedUp: 1.5 },
};
const STUDENT: Goals = { quality: 0.97, size: 0.1 };

/** One release, and what was measured on it. */
interface Trial {
  readonly release: BuiltRelease;
  readonly speeds: ReadonlyMap<string, Speed>;
}

/**
 * Trains neural families on recordings, makes every variant, and tells what each loses: on all labelled rows that were not
 * trained on. Means over the recordings.
 *
 * @param labels of the networks, all where it is left out
 * @param dataDir a folder with `skab/valve1`; the recordings that Drover brings along otherwise
 */
export async function measureTrained(
  dataDir: string | undefined,
  seed: number,
  labels: readonly string[] | undefined,
  say: (text: string) => void,
): Promise<Measure[]> {
  const sources = dataDir === undefined ? [await bundled()] : await folder(dataDir);
  const measures: Measure[] = [];
  for (const network of NETWORKS.filter(({ label }) => labels?.includes(label) ?? true)) {
    const trials: Trial[] = [];
    for (const [index, source] of sources.entries()) {
      say(`${network.label}: recording ${index + 1} of ${sources.length}`);
      const release = await buildRelease({ ...source(network), seed });
      trials.push({ release, speeds: await speedsOf(release) });
    }
    measures.push(...networkMeasures(network, trials));
  }
  return measures;
}

type Source = (network: Network) => Omit<BuildOptions, 'seed'>;

async function bundled(): Promise<Source> {
  const { normal, faults } = bundledRecordings();
  const recording = await loadRecording(normal);
  const evaluation = await Promise.all(
    faults.map(async (path) => ({ recording: labelled(await loadRecording(path)) })),
  );
  return ({ family, window, variants }) => ({
    source: { kind: 'train', recordings: [recording], family },
    evaluation,
    ...(window === undefined ? {} : { window }),
    ...(variants === undefined ? {} : { variants }),
  });
}

async function folder(dataDir: string): Promise<Source[]> {
  const found = (await findRecordings(dataDir)).filter(({ name }) => name.startsWith('skab/valve1/'));
  if (found.length === 0) throw new BenchFailedError(`There are no recordings in ${dataDir}/skab/valve1`);
  const step = Math.max(1, Math.floor(found.length / MOST_RECORDINGS));
  const chosen = found.filter((_, index) => index % step === 0).slice(0, MOST_RECORDINGS);
  return Promise.all(
    chosen.map(async ({ path }): Promise<Source> => {
      const recording = labelled(await loadRecording(path));
      return ({ family, window, variants }) => ({
        source: { kind: 'train', recordings: [recording], family, trainRows: TRAIN_ROWS },
        evaluation: [{ recording, fromRow: TRAIN_ROWS }],
        ...(window === undefined ? {} : { window }),
        ...(variants === undefined ? {} : { variants }),
      });
    }),
  );
}

function labelled<T extends NamedRecording>(recording: T): T & { readonly labels: Uint8Array } {
  const { labels } = recording;
  if (labels === undefined) throw new BenchFailedError('A recording for evaluation has no labels');
  return { ...recording, labels };
}

async function speedsOf({ card, artifacts, manifestDraft }: BuiltRelease): Promise<Trial['speeds']> {
  const { signature } = manifestDraft;
  const contestants = card.variants.map(({ name, digest }) => {
    const artifact = artifacts.find((candidate) => candidate.digest === digest)!;
    const packed = artifact.decodedSizeBytes !== undefined;
    return { name, model: packed ? Uint8Array.from(zstdDecompressSync(artifact.bytes)) : artifact.bytes };
  });
  const fp32First = contestants.toSorted((a, b) => Number(b.name === 'fp32') - Number(a.name === 'fp32'));
  const options = { window: signature.window, channels: signature.channels.length, rounds: 20, block: 100 };
  return race(fp32First, options);
}

function networkMeasures(network: Network, trials: readonly Trial[]): Measure[] {
  const { label } = network;
  const names = [...new Set(trials.flatMap(({ release }) => release.card.variants.map(({ name }) => name)))];
  const refused = trials.flatMap(({ release }) => release.card.variants.filter(({ offered }) => !offered));
  const ofFp32 = meanOf(trials, 'fp32', ({ metrics }) => metrics.vusPr);
  return [
    { metric: `${label}: fp32 VUS-PR`, value: ofFp32, unit: '' },
    ...names.filter((name) => name !== 'fp32').flatMap((name) => variantMeasures(network, name, trials)),
    { metric: `${label}: variants refused by the contract`, value: refused.length, unit: '' },
  ];
}

function variantMeasures(network: Network, name: string, trials: readonly Trial[]): Measure[] {
  const goals = name === 'student' ? STUDENT : (GOALS[name] ?? {});
  const label = `${network.label}: ${name}`;
  const loss = meanOf(trials, name, ({ metrics }) => metrics.vusPrLoss);
  const agreement = meanOf(trials, name, ({ metrics }) => metrics.agreement);
  const size = meanOfPairs(trials, name, (variant, fp32) => variant.sizeBytes / fp32.sizeBytes);
  const ratio = mean(trials.map(({ speeds }) => speeds.get(name)?.ratio).filter((value) => value !== undefined));
  const quality = meanOfPairs(trials, name, ({ metrics }, fp32) => (metrics.vusPr ?? 0) / (fp32.metrics.vusPr ?? 1));
  return [
    { metric: `${label} VUS-PR loss`, value: 100 * loss, unit: '%', ...atMost(100 * loss, percent(goals.loss)) },
    {
      metric: `${label} agreement`,
      value: 100 * agreement,
      unit: '%',
      ...atLeast(100 * agreement, percent(goals.agreement)),
    },
    { metric: `${label} size by fp32`, value: size, unit: 'x', ...atMost(size, goals.size) },
    {
      metric: `${label} p50`,
      value: meanTime(trials, name),
      unit: 'us',
      peer: { name: 'us fp32', value: meanTime(trials, 'fp32') },
      ratio,
      ...(network.large && goals.speedUp !== undefined
        ? { goal: `${goals.speedUp} x as fast`, ok: 1 / ratio >= goals.speedUp }
        : {}),
    },
    ...(goals.quality === undefined
      ? []
      : [{ metric: `${label} VUS-PR by fp32`, value: quality, unit: 'x', ...atLeast(quality, goals.quality) }]),
  ];
}

function percent(share: number | undefined): number | undefined {
  return share === undefined ? undefined : 100 * share;
}

function atMost(value: number, goal: number | undefined): Pick<Measure, 'goal' | 'ok'> {
  return goal === undefined ? {} : { goal: `<= ${goal}`, ok: value <= goal };
}

function atLeast(value: number, goal: number | undefined): Pick<Measure, 'goal' | 'ok'> {
  return goal === undefined ? {} : { goal: `>= ${goal}`, ok: value >= goal };
}

function meanOf(trials: readonly Trial[], name: string, figure: (variant: Variant) => number | undefined): number {
  return meanOfPairs(trials, name, figure);
}

/** Of a variant and fp32, over the releases that have it. */
function meanOfPairs(
  trials: readonly Trial[],
  name: string,
  figure: (variant: Variant, fp32: Variant) => number | undefined,
): number {
  const values = trials.map(({ release: { card } }) => {
    const [variant, fp32] = [name, 'fp32'].map((wanted) => card.variants.find((one) => one.name === wanted));
    return variant && fp32 && figure(variant, fp32);
  });
  return mean(values.filter((value) => value !== undefined));
}

function meanTime(trials: readonly Trial[], name: string): number {
  return mean(trials.map(({ speeds }) => speeds.get(name)?.p50Us).filter((value) => value !== undefined));
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0) / values.length;
}
