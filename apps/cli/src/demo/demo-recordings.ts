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

export interface DemoRecordings {
  /** What the demo says about them. */
  readonly title: string;
  /** To train on: whole files, or their first rows. */
  readonly training: readonly string[];
  readonly trainRows: number | undefined;
  /** One per simulated board. */
  readonly replayed: readonly ReplayedRecording[];
}

const BOARDS = 3;
/** Conventions of the recordings' authors: SKAB trains on the first 400 rows, NAB on the first 15 %, 750 at most. */
const SKAB_TRAIN_ROWS = 400;
const NAB_TRAIN_SHARE = 0.15;
const NAB_TRAIN_MOST = 750;

/** The recordings that come with Drover: trained on a healthy pump, tried on three that have faults. */
export async function bundledDemo(): Promise<DemoRecordings> {
  const { normal, faults } = bundledRecordings();
  return {
    title: 'bundled recordings of a simulated pump',
    training: [normal],
    trainRows: undefined,
    replayed: await Promise.all(faults.map((path, i) => replay(path, `pump-${i + 1}`, 0))),
  };
}

/**
 * Recordings of a folder in SKAB or NAB layout: several labelled channels, or single series with label windows.
 *
 * @throws InvalidInputError where the folder has none
 */
export async function folderDemo(folder: string): Promise<DemoRecordings> {
  const found = await findRecordings(folder);
  const usable: { path: string; name: string; recording: LoadedRecording & { labels: Uint8Array } }[] = [];
  for (const { path, name } of found) {
    if (usable.length === BOARDS) break;
    const recording = await loadRecording(path).catch(() => undefined);
    if (!recording?.labels?.some((label) => label !== 0)) continue;
    const first = usable[0]?.recording;
    // One model is trained for all boards: they must see the same channels.
    if (first && first.channels.join() !== recording.channels.join()) continue;
    usable.push({ path, name, recording: { ...recording, labels: recording.labels } });
    // A single series has its own range of values: the three boards then watch the same one.
    if (recording.channels.length === 1) break;
  }
  if (usable.length === 0) {
    throw new InvalidInputError(
      `There is no labelled recording in ${folder}. Expected is a folder in SKAB's layout (CSV with a column "anomaly") or in NAB's (timestamp,value and labels/combined_windows.json).`,
    );
  }
  const series = usable[0]!.recording.channels.length === 1;
  const trainRows = series
    ? Math.min(NAB_TRAIN_MOST, Math.floor(usable[0]!.recording.rows * NAB_TRAIN_SHARE))
    : SKAB_TRAIN_ROWS;
  const boards = Array.from({ length: BOARDS }, (_, i) => usable[i % usable.length]!);
  return {
    title: `recordings of ${folder}: ${usable.map(({ name }) => name).join(', ')}`,
    training: usable.map(({ path }) => path),
    trainRows,
    replayed: boards.map(({ path, name, recording }) => ({ path, name, recording, scoredFrom: trainRows })),
  };
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
