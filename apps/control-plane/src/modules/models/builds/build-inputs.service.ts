import type { BuildRequest, Dataset, TrainingSource } from '@drover/contracts';
import { InvalidInputError } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { NotFoundError } from '../../../platform/http/errors.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import { MeasurementReader } from '../../telemetry/query/measurement-reader.service.ts';
import { ArtifactRepository } from '../artifacts/artifact.repository.ts';
import { DatasetRepository } from '../datasets/dataset.repository.ts';
import type { BuildThreadRequest, RecordingFile, SourceData } from './build-thread.ts';

const MAX_TRAINING_ROWS = 1_000_000;
const NO_ARTIFACT = 'there is no such artifact in this fleet; upload it first';
const REUSED = 'is trained on as a whole; give training.trainRows to measure on the rows after them';

/** What a build reads: whether it is there, and where. */
@Injectable()
export class BuildInputs {
  constructor(
    private readonly artifacts: ArtifactRepository,
    private readonly datasets: DatasetRepository,
    private readonly store: ArtifactStore,
    private readonly measurements: MeasurementReader,
  ) {}

  /**
   * @returns ids of the datasets that it uses
   * @throws InvalidInputError naming every artifact that is not there, every dataset that is not READY, and every recording that
   *   would be measured on what was trained on
   */
  async require(fleet: string, request: BuildRequest): Promise<string[]> {
    const used = datasetsOf(request);
    const datasets = await this.datasets.findMany(fleet, used);
    const problems: FieldProblem[] = [];
    const requireArtifact = async (path: string, digest: string): Promise<void> => {
      if (!(await this.artifacts.find(fleet, digest))) problems.push({ path, message: NO_ARTIFACT });
    };
    const requireDataset = (path: string, id: string): void => {
      const dataset = datasets.get(id);
      if (!dataset) problems.push({ path, message: `there is no dataset "${id}" in this fleet` });
      else if (dataset.status !== 'READY') problems.push({ path, message: notReady(dataset) });
    };
    const requireSource = async (path: string, source: TrainingSource | undefined): Promise<void> => {
      if (source?.kind === 'recordings')
        for (const [i, digest] of source.artifacts.entries()) await requireArtifact(`${path}.artifacts.${i}`, digest);
      if (source?.kind === 'datasets')
        for (const [i, id] of source.datasets.entries()) requireDataset(`${path}.datasets.${i}`, id);
    };
    const { training, import: imported, evaluation } = request;
    await requireSource('training.source', training?.source);
    if (imported) await requireArtifact('import.artifact', imported.artifact);
    await requireSource('import.calibration', imported?.calibration);
    const trained = training?.trainRows === undefined ? digestsOf(training?.source, datasets) : new Set<string>();
    for (const [i, digest] of evaluation.artifacts.entries()) {
      if (trained.has(digest)) problems.push({ path: `evaluation.artifacts.${i}`, message: REUSED });
      else await requireArtifact(`evaluation.artifacts.${i}`, digest);
    }
    for (const [i, id] of evaluation.datasets.entries()) {
      const reused = datasets.get(id)?.files.some((file) => trained.has(file.artifact));
      if (reused) problems.push({ path: `evaluation.datasets.${i}`, message: REUSED });
      else requireDataset(`evaluation.datasets.${i}`, id);
    }
    if (problems.length > 0) {
      const message = problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ');
      throw new InvalidInputError(message, { problems });
    }
    return used;
  }

  /** @throws NotFoundError for a stream or a dataset that is not there any more */
  async read(fleet: string, request: BuildRequest): Promise<BuildThreadRequest> {
    const datasets = await this.datasets.findMany(fleet, datasetsOf(request));
    const { training, import: imported, evaluation } = request;
    const trained = digestsOf(training?.source, datasets);
    const files = [
      ...evaluation.artifacts.map((digest) => this.#file(digest)),
      ...evaluation.datasets.flatMap((id) => this.#filesOf(id, datasets)),
    ];
    return {
      request,
      training: training ? await this.#source(fleet, training.source, datasets) : null,
      model: imported ? this.store.path(imported.artifact) : null,
      calibration: imported?.calibration ? await this.#source(fleet, imported.calibration, datasets) : null,
      evaluation: files.map((file) =>
        trained.has(file.digest) && training?.trainRows !== undefined
          ? { file, fromRow: training.trainRows }
          : { file },
      ),
    };
  }

  async #source(fleet: string, source: TrainingSource, datasets: ReadonlyMap<string, Dataset>): Promise<SourceData> {
    if (source.kind === 'measurements') {
      const recording = await this.measurements.load(fleet, source, MAX_TRAINING_ROWS);
      return { kind: 'recording', name: `${source.device}/${source.stream}`, recording };
    }
    const files =
      source.kind === 'recordings'
        ? source.artifacts.map((digest) => this.#file(digest))
        : source.datasets.flatMap((id) => this.#filesOf(id, datasets));
    return { kind: 'files', files };
  }

  #file(digest: string): RecordingFile {
    return { name: digest, digest, path: this.store.path(digest), options: {} };
  }

  #filesOf(id: string, datasets: ReadonlyMap<string, Dataset>): RecordingFile[] {
    const dataset = datasets.get(id);
    if (!dataset) throw NotFoundError.of('dataset', id);
    return dataset.files.map(({ name, artifact }) => ({
      name,
      digest: artifact,
      path: this.store.path(artifact),
      options: dataset.options,
    }));
  }
}

function notReady({ status, error }: Dataset): string {
  return status === 'VALIDATING'
    ? 'is still being validated; wait until it is READY'
    : `is INVALID: ${error?.message ?? 'it cannot be read'}`;
}

function datasetsOf({ training, import: imported, evaluation }: BuildRequest): string[] {
  const sources = [training?.source, imported?.calibration];
  const trained = sources.flatMap((source) => (source?.kind === 'datasets' ? source.datasets : []));
  return [...new Set([...trained, ...evaluation.datasets])];
}

function digestsOf(source: TrainingSource | undefined, datasets: ReadonlyMap<string, Dataset>): Set<string> {
  if (source?.kind === 'recordings') return new Set(source.artifacts);
  if (source?.kind !== 'datasets') return new Set();
  return new Set(source.datasets.flatMap((id) => datasets.get(id)?.files.map((file) => file.artifact) ?? []));
}
