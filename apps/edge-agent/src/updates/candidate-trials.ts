/**
 * Brings the candidates of a release to the device, tries each on its hardware, and takes one.
 *
 * INVARIANTS
 * - A candidate that does not work is dropped with a reason; the attempt fails only when none is left.
 * - One candidate at a time is loaded beside what serves: a small board does not hold all.
 * - A candidate is named in the journal before it is loaded, so that one which ends the process is not tried for ever.
 */
import type { ArtifactRef } from '@drover/contracts';
import { InternalError, messageOf } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import type { ArtifactName, ArtifactShelf } from './artifact-shelf.ts';
import type { AttemptLog } from './attempt-log.ts';
import { chooseVariant, mostTelling } from './choose-variant.ts';
import { CandidateMeasurement, measurementPlan } from './measurement.ts';
import { candidatesOf } from './ready-release.ts';
import type { ReadyRelease, ReleaseEngine } from './release-engine.ts';
import { NO_ROOM, TOO_MUCH_MEMORY, fitDisk, modelMemory } from './select-variants.ts';
import { JournalUnwritableError } from './update-journal.ts';
import { NoCandidateError, NoWorkingCandidateError, reasonOf } from './update-errors.ts';
import type { Attempt, DroppedCandidate } from './update-records.ts';

/**
 * Brings an artifact to `path`, resuming what an interruption left.
 *
 * @param onBytes bytes that have arrived so far
 */
export type FetchArtifact = (
  artifact: ArtifactName,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
) => Promise<void>;

export interface TrialsParts {
  readonly log: AttemptLog;
  readonly shelf: ArtifactShelf;
  readonly engine: Pick<ReleaseEngine, 'verify' | 'measure'>;
  readonly fetch: FetchArtifact;
  /** Bytes that artifacts may take on the disk beside what is there. */
  readonly roomBytes: () => Promise<number>;
  /** Memory of the (perhaps simulated) board. */
  readonly memoryBytes: () => Promise<number>;
  /** Of the hottest part of the board, °C; null where it tells none. */
  readonly temperatureC: () => Promise<number | null>;
  readonly clock: Clock;
  readonly logger: Logger;
}

const PROGRESS_EVERY_MS = 2_000;
const MOST_TRIES = 3;

export class CandidateTrials {
  readonly #parts: TrialsParts;

  constructor(parts: TrialsParts) {
    this.#parts = parts;
  }

  /** Fetches what the candidates need, small ones first, as far as the disk has room. @throws NoWorkingCandidateError */
  async download(pipeline: string, attempt: Attempt, signal: AbortSignal): Promise<void> {
    const { shelf, fetch, log } = this.#parts;
    const all = await candidatesOf(shelf, attempt);
    const missing = new Map<ReadyRelease, number>();
    for (const release of all) missing.set(release, await this.#missingBytes(release));
    const fitting = fitDisk(all, (release) => missing.get(release)!, await this.#parts.roomBytes());
    const dropped: DroppedCandidate[] = all
      .filter((release) => !fitting.includes(release))
      .map(({ variant }) => ({ variant: variant.name, reason: 'no-space', message: NO_ROOM }));
    const tell = this.#progress(pipeline, attempt, totalBytes(fitting.flatMap(({ variant }) => variant.artifacts)));
    const arrived = new Map<string, number>();
    for (const release of fitting.toSorted((a, b) => missing.get(a)! - missing.get(b)!)) {
      try {
        for (const artifact of release.variant.artifacts) {
          const onBytes = (bytes: number): void => tell.bytes(arrived.set(artifact.digest, bytes));
          if (!(await shelf.has(artifact))) await fetch(artifact, onBytes, signal).finally(() => tell.told());
          onBytes(artifact.sizeBytes);
        }
      } catch (error) {
        signal.throwIfAborted();
        dropped.push(this.#dropped(pipeline, release, error));
      }
    }
    const news = { status: 'IN_PROGRESS', step: 'DOWNLOADED', progress: 1 } as const;
    const left = await this.#drop(pipeline, attempt, dropped);
    await log.move(pipeline, attempt.target, { attempt: { ...left, phase: 'downloaded' } }, news);
  }

  /** Digests and golden vectors. @throws NoWorkingCandidateError */
  async verify(pipeline: string, attempt: Attempt, signal: AbortSignal): Promise<void> {
    const { shelf, engine, log } = this.#parts;
    const dropped: DroppedCandidate[] = [];
    const tries = new Map(Object.entries(attempt.tries));
    for (const release of await candidatesOf(shelf, attempt)) {
      const failure = await this.#try(pipeline, release, tries, signal, async () => {
        for (const artifact of release.variant.artifacts) await shelf.check(artifact);
        await engine.verify(pipeline, release, signal);
      });
      if (failure !== null) dropped.push(failure);
    }
    const left = await this.#drop(pipeline, attempt, dropped);
    const news = { status: 'IN_PROGRESS', step: 'VERIFIED' } as const;
    await log.move(pipeline, attempt.target, { attempt: { ...left, phase: 'verified' } }, news);
  }

  /** Measures the candidates in turns, so that whatever else goes on hits all alike, and takes the fastest. */
  async benchmark(pipeline: string, attempt: Attempt, signal: AbortSignal): Promise<void> {
    const { shelf, log } = this.#parts;
    await log.move(pipeline, attempt.target, {}, { status: 'IN_PROGRESS', step: 'BENCHMARKING' });
    const candidates = await candidatesOf(shelf, attempt);
    const plan = measurementPlan(candidates.length, await this.#parts.temperatureC());
    const limitBytes = modelMemory(await this.#parts.memoryBytes());
    const measurements = new Map(candidates.map((release) => [release, new CandidateMeasurement(release, plan)]));
    const dropped: DroppedCandidate[] = [];
    const tries = new Map(Object.entries(attempt.tries));
    for (let round = 0; round < plan.rounds; round += 1) {
      // There and back, so that no one always comes first after a pause, or last when the board is warm.
      const order = [...measurements.keys()];
      for (const release of round % 2 === 0 ? order : order.toReversed()) {
        const measurement = measurements.get(release)!;
        if (measurement.spent) continue;
        // What has run once does not end the agent in a later round.
        const failure = await this.#try(pipeline, release, round === 0 ? tries : null, signal, () =>
          this.#measure(pipeline, measurement, limitBytes, signal),
        );
        if (failure === null) continue;
        dropped.push(failure);
        measurements.delete(release);
      }
    }
    const left = await this.#drop(pipeline, attempt, dropped);
    const measured = [...measurements.values()].map((measurement) => measurement.figures());
    const { chosen, verdicts } = chooseVariant(measured, left.dropped.length);
    const { served } = candidates.find(({ variant }) => variant.name === chosen.variant)!;
    const benchmarked = { ...left, phase: 'benchmarked', chosen: { ...served, provider: chosen.provider } } as const;
    await log.move(pipeline, attempt.target, { attempt: benchmarked });
    verdicts.forEach((verdict, i) => log.tellBenchmark({ pipeline, ...measured[i]!, ...verdict }));
  }

  async #measure(
    pipeline: string,
    measurement: CandidateMeasurement,
    limitBytes: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { engine, clock, temperatureC } = this.#parts;
    const begin = clock.monotonic();
    const beforeC = await temperatureC();
    const round = await engine.measure(pipeline, measurement.release, measurement.limits, signal);
    measurement.add(round, { beforeC, afterC: await temperatureC() }, clock.monotonic() - begin);
    if (round.ownBytes > limitBytes) throw new NoCandidateError(TOO_MUCH_MEMORY);
  }

  /**
   * @param tries begun and not ended so far, by variant; kept up to date. null: not counted
   * @returns null where it worked
   * @throws where it says nothing of the candidate: aborted, or no journal
   */
  async #try(
    pipeline: string,
    release: ReadyRelease,
    tries: Map<string, number> | null,
    signal: AbortSignal,
    check: () => Promise<void>,
  ): Promise<DroppedCandidate | null> {
    const { name } = release.variant;
    const times = (tries?.get(name) ?? 0) + 1;
    if (times > MOST_TRIES) {
      return { variant: name, reason: 'graph-invalid', message: `the agent ended ${MOST_TRIES} times while trying it` };
    }
    if (tries !== null) await this.#note(pipeline, tries.set(name, times));
    try {
      await check();
      return null;
    } catch (error) {
      if (signal.aborted && tries !== null) {
        // Being stopped is no fault of the candidate.
        tries.delete(name);
        await this.#note(pipeline, tries).catch(() => undefined);
      }
      signal.throwIfAborted();
      if (error instanceof JournalUnwritableError) throw error;
      return this.#dropped(pipeline, release, error);
    } finally {
      tries?.delete(name);
    }
  }

  async #note(pipeline: string, tries: ReadonlyMap<string, number>): Promise<void> {
    const { log } = this.#parts;
    const attempt = log.attempt(pipeline);
    await log.move(pipeline, attempt.target, { attempt: { ...attempt, tries: Object.fromEntries(tries) } });
  }

  #dropped(pipeline: string, { variant }: ReadyRelease, error: unknown): DroppedCandidate {
    const dropped = { variant: variant.name, reason: reasonOf(error), message: messageOf(error).slice(0, 500) };
    this.#parts.logger.warn({ pipeline, ...dropped }, 'a candidate is dropped');
    return dropped;
  }

  /** The attempt without these; written down before it is given up. @throws NoWorkingCandidateError where none is left */
  async #drop(pipeline: string, before: Attempt, dropped: readonly DroppedCandidate[]): Promise<Attempt> {
    const variants = before.variants.filter((name) => !dropped.some(({ variant }) => variant === name));
    const attempt: Attempt = { ...before, variants, dropped: [...before.dropped, ...dropped], tries: {} };
    if (variants.length > 0) return attempt;
    if (attempt.dropped.length === 0) throw new InternalError('An attempt without variants cannot go on');
    await this.#parts.log.move(pipeline, attempt.target, { attempt });
    const { reason, message } = mostTelling(attempt.dropped);
    throw new NoWorkingCandidateError(reason, message);
  }

  async #missingBytes({ variant }: ReadyRelease): Promise<number> {
    const missing = [];
    for (const artifact of variant.artifacts) if (!(await this.#parts.shelf.has(artifact))) missing.push(artifact);
    return totalBytes(missing);
  }

  #progress(
    pipeline: string,
    { target }: Attempt,
    wantedBytes: number,
  ): { bytes(arrived: ReadonlyMap<string, number>): void; told(): Promise<void> } {
    const { log, clock } = this.#parts;
    let toldAt = clock.monotonic();
    let telling = Promise.resolve();
    return {
      bytes: (arrived) => {
        if (clock.monotonic() - toldAt < PROGRESS_EVERY_MS || target.execution === null) return;
        toldAt = clock.monotonic();
        const bytes = [...arrived.values()].reduce((sum, one) => sum + one, 0);
        const news = {
          status: 'IN_PROGRESS',
          step: 'DOWNLOADING',
          progress: Math.min(1, bytes / wantedBytes),
        } as const;
        telling = log.move(pipeline, target, {}, news).catch(() => undefined);
      },
      told: () => telling,
    };
  }
}

/** Of artifacts that are needed by several candidates, once. */
function totalBytes(artifacts: readonly ArtifactRef[]): number {
  const bySize = new Map(artifacts.map(({ digest, sizeBytes }) => [digest, sizeBytes]));
  return [...bySize.values()].reduce((sum, bytes) => sum + bytes, 0);
}
