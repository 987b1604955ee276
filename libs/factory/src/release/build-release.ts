import { compressionContractSchema } from '@drover/contracts';
import { InvalidInputError, problemsOf } from '@drover/runtime';
import { InvalidTrainingOptionsError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import { assembleRelease } from './assemble-release.ts';
import { importSource } from './import-source.ts';
import { calibrationWindows, probeWindows } from './make-variants.ts';
import type { PreparedModel } from './prepared-model.ts';
import { trackProgress } from './progress.ts';
import type { BuildOptions, BuiltRelease } from './release-options.ts';
import { trainSource } from './train-source.ts';
import { planKinds } from './variant-kinds.ts';

/**
 * Trains or imports a model and makes a release of it: variants and their artifacts, thresholds, golden vectors, metrics,
 * what the compression contract says of each, and the model card. Deterministic for the same input and seed on the same
 * machine.
 *
 * @throws NotEnoughDataError, UnusableDataError, InconsistentRecordingError, InvalidTrainingOptionsError,
 *   UnsupportedGraphError and what `importSource` names, for input that cannot work; the signal's reason when aborted
 */
export async function buildRelease(options: BuildOptions): Promise<BuiltRelease> {
  const { source, seed = 1, signal } = options;
  const progress = trackProgress(options);
  const contract = contractOf(options);
  progress.enter('preparing');
  // One stream of random numbers per purpose, so that a further variant changes nothing of the others.
  const randomFor = (purpose: number): (() => number) => seededRandom(seed * 8 + purpose);
  const [forTrial, forRanges, forProbes, forGolden] = [randomFor(1), randomFor(2), randomFor(3), randomFor(4)];
  let prepared: PreparedModel;
  if (source.kind === 'train') {
    progress.enter('training');
    const context = { seed, signal, onProgress: progress.within };
    prepared = await trainSource(source, options, context, forTrial);
  } else {
    prepared = await importSource(source, options, forTrial);
  }
  const kinds = planKinds(prepared.detector, options.variants);
  const calibration = calibrationWindows(prepared, forRanges);
  const probes = probeWindows(prepared, forProbes);
  return assembleRelease({ prepared, kinds, calibration, probes, contract, seed, forGolden, progress, options });
}

function contractOf({ contract, variants }: BuildOptions): BuiltRelease['card']['contract'] {
  if (variants?.length === 0) throw new InvalidTrainingOptionsError('The list of variants is empty.');
  const parsed = compressionContractSchema.safeParse(contract ?? {});
  if (!parsed.success) {
    throw new InvalidInputError('The compression contract is not valid.', { problems: problemsOf(parsed.error) });
  }
  return parsed.data;
}
