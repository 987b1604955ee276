import { bundledRecordings, findRecordings, loadRecording } from '@drover/recordings';
import type { LoadedRecording } from '@drover/recordings';
import { InvalidInputError } from '@drover/runtime';

/** A recording that one simulated board replays, with what is known about it. */
export interface ReplayedRecording {
  readonly path: string;
  readonly name: string;
  readonly recording: LoadedRecording & { readonly labels: Uint8Array };
  /** Rows before this one were trained on: they are not scored. */
  readonly scoredFrom: number;
}

/** One kind of machine, with a model of its own, and the boards that watch machines of the kind. */
export interface DemoMachine {
  /** Of its model. */
  readonly id: string;
  /** To train on: whole files, or their first rows. */
  readonly training: readonly string[];
  readonly trainRows: number | undefined;
  /** One per board. */
  readonly replayed: readonly ReplayedRecording[];
}

export interface DemoRecordings {
  /** What the demo says about them. */
  readonly title: string;
  /** `BOARDS` boards between them. */
  readonly machines: readonly DemoMachine[];
}

const BOARDS = 3;
/** Conventions of the recordings' authors: SKAB trains on the first 400 rows, NAB on the first 15 %, 750 at most. */
const SKAB_TRAIN_ROWS = 400;
const NAB_TRAIN_SHARE = 0.15;
const NAB_TRAIN_MOST = 750;

/** The recordings that come with Drover: one model, trained on a healthy pump, for three pumps that have faults. */
export async function bundledDemo(): Promise<DemoRecordings> {
  const { normal, faults } = bundledRecordings();
  const replayed = await Promise.all(faults.map((path, i) => replay(path, `pump-${i + 1}`, 0)));
  return {
    title: 'bundled recordings of a simulated pump',
    machines: [{ id: 'pump', training: [normal], trainRows: undefined, replayed }],
  };
}

/**
 * Recordings of a folder in SKAB or NAB layout. Several channels: three recordings spread over the folder, each a machine in
 * a state of its own, so each has a model of its own, trained on its first rows. A single series: one, for three boards.
 *
 * @throws InvalidInputError where the folder has none
 */
export async function folderDemo(folder: string): Promise<DemoRecordings> {
  const usable: Labelled[] = [];
  for (const { path, name } of await findRecordings(folder)) {
    const recording = await loadRecording(path).catch(() => undefined);
    if (recording?.labels?.some((label) => label !== 0))
      usable.push({ path, name, recording: { ...recording, labels: recording.labels } });
  }
  if (usable.length === 0) {
    throw new InvalidInputError(
      `There is no labelled recording in ${folder}. Expected is a folder in SKAB's layout (CSV with a column "anomaly") or in NAB's (timestamp,value and labels/combined_windows.json).`,
    );
  }
  const title = (chosen: readonly Labelled[]): string =>
    `recordings of ${folder}: ${chosen.map(({ name }) => name).join(', ')}`;
  const series = usable.find(({ recording }) => recording.channels.length === 1);
  if (series) {
    const trainRows = Math.min(NAB_TRAIN_MOST, Math.floor(series.recording.rows * NAB_TRAIN_SHARE));
    const replayed = Array.from({ length: BOARDS }, () => ({ ...series, scoredFrom: trainRows }));
    return { title: title([series]), machines: [{ id: 'series', training: [series.path], trainRows, replayed }] };
  }
  // Spread over the folder, by their places in it and nothing else.
  const chosen = Array.from(
    { length: BOARDS },
    (_, i) => usable[Math.floor(((i + 1) * usable.length) / (BOARDS + 1))]!,
  );
  return {
    title: title(chosen),
    machines: chosen.map((one, i) => ({
      id: `machine-${i + 1}`,
      training: [one.path],
      trainRows: SKAB_TRAIN_ROWS,
      replayed: [{ ...one, scoredFrom: SKAB_TRAIN_ROWS }],
    })),
  };
}

interface Labelled {
  readonly path: string;
  readonly name: string;
  readonly recording: LoadedRecording & { readonly labels: Uint8Array };
}

async function replay(path: string, name: string, scoredFrom: number): Promise<ReplayedRecording> {
  const recording = await loadRecording(path);
  return {
    path,
    name,
    recording: { ...recording, labels: recording.labels ?? new Uint8Array(recording.rows) },
    scoredFrom,
  };
}
