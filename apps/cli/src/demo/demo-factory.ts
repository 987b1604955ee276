import { readFile } from 'node:fs/promises';
import type { DroverClient } from '@drover/client';
import { api } from '@drover/contracts';
import type { Build, FamilyName, Release, ReleaseVariant, TrainingSource } from '@drover/contracts';
import type { DemoMachine } from './demo-recordings.ts';
import type { Until } from './until.ts';
import { DemoFailedError } from './until.ts';

/** Recordings of one machine, as the control plane knows them. */
export interface Uploaded {
  readonly model: string;
  readonly source: TrainingSource;
  readonly evaluation: readonly string[];
  readonly trainRows: number | undefined;
}

export interface DemoTraining {
  readonly family: FamilyName;
  readonly seed: number;
  readonly window?: number;
  readonly options?: Readonly<Record<string, number>>;
}

/** Progress is told when it has moved by this much. */
const TOLD_STEP = 0.25;

/** The model factory from the operator's side: upload, ask for a build, follow it, see what came of it. */
export class DemoFactory {
  readonly #client: DroverClient;
  readonly #say: (text: string) => void;
  readonly #until: Until;

  constructor(client: DroverClient, say: (text: string) => void, until: Until) {
    this.#client = client;
    this.#say = say;
    this.#until = until;
  }

  async upload({ id, training, replayed, trainRows }: DemoMachine): Promise<Uploaded> {
    await this.#client.call(api.models.create, { body: { id, name: id } });
    const digestOf = async (path: string): Promise<string> =>
      (await this.#client.upload(await readFile(path), 'text/csv')).digest;
    return {
      model: id,
      source: { kind: 'recordings', artifacts: await Promise.all(training.map(digestOf)) },
      evaluation: await Promise.all([...new Set(replayed.map(({ path }) => path))].map(digestOf)),
      trainRows,
    };
  }

  async train({ model, source, evaluation, trainRows }: Uploaded, training: DemoTraining): Promise<Release> {
    const build = await this.#client.call(api.builds.create, {
      body: {
        model,
        training: { source, ...training, ...(trainRows === undefined ? {} : { trainRows }) },
        evaluation: { artifacts: [...evaluation] },
      },
    });
    const { release } = await this.#follow(build, `${model}, ${training.family}`);
    return this.#client.call(api.releases.get, { params: { release } });
  }

  /** Says why the family was chosen, and what every variant costs and loses. */
  async describe(release: Release): Promise<void> {
    const card = await this.#client.call(api.releases.card, { params: { release: release.id } });
    for (const sentence of card.choice) this.#say(`  ${release.model}: ${sentence}`);
    const reference = card.variants.find(({ name }) => name === 'fp32');
    for (const variant of release.variants) this.#say(`  ${describeVariant(variant, reference?.sizeBytes)}`);
  }

  async #follow({ id }: Build, title: string): Promise<Build> {
    let told = 0;
    return this.#until(`the build of ${title} to end`, async () => {
      const build = await this.#client.call(api.builds.get, { params: { build: id } });
      if (build.status === 'FAILED' || build.status === 'CANCELED')
        throw new DemoFailedError(`The build of ${title} ended as ${build.status}: ${build.error?.message ?? ''}`);
      if (build.status === 'SUCCEEDED') return build;
      if (build.progress >= told + TOLD_STEP) {
        told = Math.floor(build.progress / TOLD_STEP) * TOLD_STEP;
        const loss = build.loss === null ? '' : `, loss ${build.loss.toPrecision(3)}`;
        this.#say(`  ${title}: ${build.phase}, ${Math.round(build.progress * 100)} %${loss}`);
      }
      return undefined;
    });
  }
}

function describeVariant({ name, sizeBytes, metrics, offered, refusals }: ReleaseVariant, fp32Bytes?: number): string {
  const share =
    fp32Bytes === undefined || name === 'fp32' ? '' : ` (${Math.round((sizeBytes / fp32Bytes) * 100)} % of fp32)`;
  const parts = [`${name}: ${(sizeBytes / 1024).toFixed(0)} KiB${share}`];
  if (metrics.vusPr !== undefined) parts.push(`VUS-PR ${metrics.vusPr.toFixed(2)}`);
  if (metrics.f1 !== undefined) parts.push(`F1 ${metrics.f1.toFixed(2)}`);
  if (metrics.agreement !== undefined) parts.push(`decides as fp32 in ${percent(metrics.agreement)}`);
  if (!offered) parts.push(`refused: ${refusals.map(({ message }) => message).join('; ')}`);
  return parts.join(', ');
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
