import type { DroverClient } from '@drover/client';
import { api } from '@drover/contracts';
import type { Device, FleetEvent, Release, Rollout } from '@drover/contracts';
import { poolCounts, pointMetrics } from '@drover/detection';
import { sleep } from '@drover/runtime';
import { choicesOf } from './demo-choices.ts';
import { DemoFactory } from './demo-factory.ts';
import type { DemoTraining, Uploaded } from './demo-factory.ts';
import { describeEvent } from './demo-narration.ts';
import type { DemoMachine, ReplayedRecording } from './demo-recordings.ts';
import { loopLengthMs, scoreLoop } from './demo-score.ts';
import type { LoopScore } from './demo-score.ts';
import type { DemoDevice, DemoResult } from './demo-report.ts';
import { untilAborted } from './until.ts';
import type { Until } from './until.ts';

export const MACHINE_PIPELINE = 'machine';
export const HOST_PIPELINE = 'host';

/** Rows of the host's own measurements to train on: about one per second. */
const HOST_ROWS = 70;
const HOST_WINDOW = 4;
/** The large tier, which also teaches: the only family from which every kind of variant can be made. Trained shortly. */
const NEURAL: DemoTraining = { family: 'conv', seed: 2, window: 16, options: { epochs: 24, maxWindows: 800 } };
/** After a pass, until what it found has surely arrived. */
const SETTLE_MS = 2_500;

/** A simulated board: what it is called, what it watches. */
export interface Board {
  readonly name: string;
  readonly machine: DemoMachine;
  readonly replayed: ReplayedRecording;
}

export interface DemoOptions {
  readonly client: DroverClient;
  readonly machines: readonly DemoMachine[];
  readonly boards: readonly Board[];
  readonly hostName: string;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** The main job from the operator's side: every step through the API, every figure from it. */
export class Demo {
  readonly #options: DemoOptions;
  readonly #client: DroverClient;
  readonly #say: (text: string) => void;
  readonly #until: Until;
  readonly #factory: DemoFactory;

  constructor(options: DemoOptions) {
    this.#options = options;
    this.#client = options.client;
    this.#say = options.say;
    this.#until = untilAborted(options.signal);
    this.#factory = new DemoFactory(options.client, options.say, this.#until);
  }

  async run(): Promise<DemoResult> {
    const narration = this.#narrate();
    const devices = await this.#waitForDevices();
    const { machines } = this.#options;
    const uploaded = await Promise.all(machines.map((machine) => this.#factory.upload(machine)));
    this.#say('Training from normal data: every family is tried on it, and the best one or a combination is taken …');
    const first = await this.#train(uploaded, { family: 'auto', seed: 1 });
    this.#say('Rolling out in waves, one board first. Each gets the variants that fit its tier …');
    const rollouts = await Promise.all(
      machines.map((machine, i) => this.#rollOut(first[i]!, MACHINE_PIPELINE, this.#devicesOf(machine, devices))),
    );
    this.#say('The boards now detect by themselves. Watching one whole pass of their recordings …');
    // The host's agent goes its own way beside the boards: its model is trained from what it measures meanwhile.
    const hostRollout = this.#hostModel(devices.get(this.#options.hostName)!);
    hostRollout.catch(() => undefined);
    const scores = await this.#watchPass(devices);
    this.#say(
      'Now a neural family, with all variants: smaller numbers, fewer neurons, a small network taught by a large one …',
    );
    const second = await this.#train(uploaded, NEURAL);
    this.#say('Updating over the air while the boards run. Each measures the variants offered to its tier …');
    rollouts.push(
      ...(await Promise.all(
        machines.map((machine, i) => this.#rollOut(second[i]!, MACHINE_PIPELINE, this.#devicesOf(machine, devices))),
      )),
    );
    rollouts.push(await hostRollout);
    await this.#waitForReports([...second.map(({ id }) => id), rollouts.at(-1)!.release]);
    const result = await this.#result(rollouts, scores, second);
    narration.stop();
    return result;
  }

  #devicesOf(machine: DemoMachine, devices: ReadonlyMap<string, Device>): string[] {
    return this.#options.boards.filter((board) => board.machine === machine).map(({ name }) => devices.get(name)!.id);
  }

  /** Tells what happens as the control plane's own event stream tells it. */
  #narrate(): { stop: () => void } {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#options.signal]);
    const follow = async (): Promise<void> => {
      const names = new Map<string, string>();
      const found = new Set<string>();
      for await (const event of this.#client.events({
        after: '0',
        signal,
        types: 'device.*,rollout.*,execution.*,anomaly.opened',
      })) {
        const name = await this.#nameOf(event, names);
        // The recordings are replayed again and again, and so are their faults: each board's first is news.
        if (event.type === 'anomaly.opened' && found.size === found.add(name).size) continue;
        const text = describeEvent(event, name);
        if (text !== undefined) this.#say(`  ${text}`);
      }
    };
    // The story is told beside the work: where it breaks off, the work goes on.
    void follow().catch(() => undefined);
    return { stop: () => stop.abort() };
  }

  async #nameOf(event: FleetEvent, names: Map<string, string>): Promise<string> {
    const id = event.type.startsWith('device.') ? event.subject : String(event.data.device ?? '');
    if (id === '') return '';
    if (!names.has(id)) names.set(id, (await this.#client.call(api.devices.get, { params: { device: id } })).name);
    return names.get(id)!;
  }

  async #waitForDevices(): Promise<Map<string, Device>> {
    const wanted = [...this.#options.boards.map(({ name }) => name), this.#options.hostName];
    this.#say(`Waiting for ${wanted.length} agents to enrol and come online …`);
    return this.#until('all agents to be online', async () => {
      const { items } = await this.#client.call(api.devices.list, { query: { online: 'true' } });
      const byName = new Map(items.map((device) => [device.name, device]));
      return wanted.every((name) => byName.has(name)) ? byName : undefined;
    });
  }

  async #train(uploaded: readonly Uploaded[], training: DemoTraining): Promise<Release[]> {
    const releases = await Promise.all(uploaded.map((recordings) => this.#factory.train(recordings, training)));
    for (const release of releases) await this.#factory.describe(release);
    return releases;
  }

  async #rollOut(release: Release, pipeline: string, devices: string[]): Promise<Rollout> {
    const created = await this.#client.call(api.rollouts.create, {
      body: {
        pipeline,
        release: release.id,
        target: { kind: 'devices', devices },
        waves: [
          { kind: 'count', count: 1 },
          { kind: 'percent', percent: 100 },
        ],
      },
    });
    return this.#until(`rollout ${created.id} to end`, async () => {
      const rollout = await this.#client.call(api.rollouts.get, { params: { rollout: created.id } });
      return ['SUCCEEDED', 'FAILED', 'ABORTED'].includes(rollout.status) ? rollout : undefined;
    });
  }

  /** Lets every board see its whole recording once and holds what it found against the labels. */
  async #watchPass(
    devices: ReadonlyMap<string, Device>,
  ): Promise<Map<string, LoopScore & { rowsExpected: number; rowsReceived: number }>> {
    const entries = this.#options.boards.map(async ({ name, replayed }) => {
      const device = devices.get(name)!.id;
      const { timesMs, labels, rows } = replayed.recording;
      const length = loopLengthMs(timesMs);
      const spacing = length / rows;
      const fromMs = (await this.#lastSampleMs(device, MACHINE_PIPELINE)) + spacing / 2;
      await this.#until(`${name} to see its whole recording`, async () =>
        (await this.#lastSampleMs(device, MACHINE_PIPELINE)) > fromMs + length ? true : undefined,
      );
      await sleep(SETTLE_MS, this.#options.signal);
      const detections: { startMs: number; endMs: number | null }[] = [];
      const query = {
        pipeline: MACHINE_PIPELINE,
        from: instant(fromMs - length),
        to: instant(fromMs + length),
        limit: 500,
        sort: 'startedAt',
      };
      for await (const anomaly of this.#client.all(api.devices.anomalies, { params: { device }, query }))
        detections.push({ startMs: anomaly.startedAt, endMs: anomaly.endedAt });
      const score = scoreLoop({ timesMs, labels, scoredFrom: replayed.scoredFrom }, detections, fromMs);
      return [
        name,
        { ...score, rowsExpected: rows, rowsReceived: await this.#countRows(device, fromMs, fromMs + length) },
      ] as const;
    });
    return new Map(await Promise.all(entries));
  }

  async #countRows(device: string, fromMs: number, toMs: number): Promise<number> {
    let rows = 0;
    let cursor: string | null = null;
    do {
      const page: { rows: unknown[]; nextCursor: string | null } = await this.#client.call(api.devices.measurements, {
        params: { device },
        query: {
          stream: MACHINE_PIPELINE,
          from: instant(fromMs),
          to: instant(toMs),
          limit: 10_000,
          ...(cursor === null ? {} : { cursor }),
        },
      });
      rows += page.rows.length;
      cursor = page.nextCursor;
    } while (cursor !== null);
    return rows;
  }

  async #lastSampleMs(device: string, stream: string): Promise<number> {
    const { items } = await this.#client.call(api.devices.streams, { params: { device } });
    const lastAt = items
      .filter(({ name }) => name === stream)
      .map(({ lastAt: at }) => (at === null ? 0 : Date.parse(at)));
    return Math.max(0, ...lastAt);
  }

  /** The fourth agent watches this machine itself: its model is trained from what it has sent. */
  async #hostModel(host: Device): Promise<Rollout> {
    await this.#until(`${HOST_ROWS} measurements of this machine`, async () => {
      const { rows } = await this.#client.call(api.devices.measurements, {
        params: { device: host.id },
        query: { stream: HOST_PIPELINE, limit: HOST_ROWS },
      });
      return rows.length >= HOST_ROWS ? true : undefined;
    });
    await this.#client.call(api.models.create, { body: { id: 'host', name: 'Host' } });
    const source = { kind: 'measurements', device: host.id, stream: HOST_PIPELINE } as const;
    const release = await this.#factory.train(
      { model: 'host', source, evaluation: [], trainRows: undefined },
      { family: 'pca', seed: 1, window: HOST_WINDOW },
    );
    this.#say(
      `Trained a model of this machine from ${HOST_ROWS} of its own measurements; rolling it out to its agent …`,
    );
    return this.#rollOut(release, HOST_PIPELINE, [host.id]);
  }

  /** Until every device has reported its newest release, and how fast it is. */
  async #waitForReports(releases: readonly string[]): Promise<void> {
    await this.#until('all devices to report what they run', async () => {
      const all = await Promise.all((await this.#devices()).map((device) => this.#reported(device)));
      return all.every(
        (reported) => reported?.release && releases.includes(reported.release) && reported.latency !== null,
      )
        ? true
        : undefined;
    });
  }

  async #devices(): Promise<Device[]> {
    return (await this.#client.call(api.devices.list, { query: { limit: 100 } })).items;
  }

  async #reported(device: Device) {
    const twin = await this.#client.call(api.devices.twin, { params: { device: device.id } });
    return twin.reported?.pipelines[device.pipelines[0]!];
  }

  async #result(
    rollouts: readonly Rollout[],
    scores: ReadonlyMap<string, LoopScore & { rowsExpected: number; rowsReceived: number }>,
    measured: readonly Release[],
  ): Promise<DemoResult> {
    const rows: DemoDevice[] = [];
    let dropped = 0;
    const devices = await this.#devices();
    for (const device of devices) {
      const { reported } = await this.#client.call(api.devices.twin, { params: { device: device.id } });
      const pipeline = reported?.pipelines[device.pipelines[0]!];
      dropped += Object.values(reported?.store.dropped ?? {}).reduce((sum, count) => sum + count, 0);
      const score = scores.get(device.name);
      const found = score
        ? undefined
        : (await this.#client.call(api.devices.anomalies, { params: { device: device.id }, query: { limit: 500 } }))
            .items.length;
      rows.push({
        device: device.name,
        tier: device.tier,
        simulated: device.profile.simulated,
        variant: pipeline?.variant ?? null,
        provider: pipeline?.provider ?? null,
        p50Us: rounded(pipeline?.latency?.p50Us),
        p99Us: rounded(pipeline?.latency?.p99Us),
        anomaliesLabelled: score?.anomaliesLabelled ?? 0,
        anomaliesFound: score?.anomaliesFound ?? 0,
        // Of this machine nothing is labelled: whatever its model found counts as a false alarm.
        falseAlarms: score?.falseAlarms ?? found ?? 0,
        rowsExpected: score?.rowsExpected ?? null,
        rowsReceived: score?.rowsReceived ?? null,
      });
    }
    const { items: rejects } = await this.#client.call(api.rejects.list, { query: { limit: 100 } });
    const lost =
      rows.some(({ rowsExpected, rowsReceived }) => rowsExpected !== rowsReceived) || dropped > 0 || rejects.length > 0;
    const { f1, far, mar } = pointMetrics(poolCounts([...scores.values()].map(({ points }) => points)));
    const detected = rows.some(({ anomaliesFound }) => anomaliesFound > 0);
    return {
      ok: rollouts.every(({ status }) => status === 'SUCCEEDED') && detected && !lost,
      devices: rows,
      choices: await choicesOf(this.#client, measured, devices),
      rollouts: rollouts.map(({ release, status, counts }) => ({
        release,
        status,
        succeeded: counts.SUCCEEDED,
        failed: counts.FAILED + counts.TIMED_OUT + counts.REJECTED,
      })),
      detection: { f1: round(f1), far: round(far), mar: round(mar) },
      lost: { dropped, rejected: rejects.length },
    };
  }
}

function instant(ms: number): string {
  return new Date(ms).toISOString();
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

function rounded(us: number | undefined): number | null {
  return us === undefined ? null : Math.round(us);
}
