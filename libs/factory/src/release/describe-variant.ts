import { createHash } from 'node:crypto';
import type { ArtifactRef, Cost, DecisionPolicy, Metrics, ModelCard, Refusal, Variant } from '@drover/contracts';
import type { ValidModel } from '@drover/onnx';
import { costOf } from '../compression/cost-of.ts';
import { encodeArtifact } from '../compression/encode-artifact.ts';
import { inspectOptimised } from '../compression/inspect-optimised.ts';
import type { OptimisedGraphReport } from '../compression/inspect-optimised.ts';
import type { WindowSet } from '../window-set.ts';
import { goldenOutputs } from './golden-vectors.ts';
import type { MadeVariant } from './made-variant.ts';
import type { MeasuredVariant } from './measure-variant.ts';

export interface Artifact {
  /** SHA-256 of the bytes, lower-case hexadecimal. */
  readonly digest: string;
  /** As they are stored and sent. */
  readonly bytes: Uint8Array;
  /** How the bytes become the file. */
  readonly encoding: ArtifactRef['encoding'];
  /** Of the file, where it is encoded. */
  readonly decodedSizeBytes?: number;
}

export interface VariantReport {
  readonly name: string;
  readonly sizeBytes: number;
  readonly parameters: number;
  readonly metrics: Metrics;
  readonly optimised: OptimisedGraphReport;
  /** Chosen ranges of activations, for int8. */
  readonly ranges?: Readonly<Record<string, readonly [low: number, high: number]>>;
  readonly offered: boolean;
  readonly refusals: readonly Refusal[];
}

/** A variant as the manifest, the artifact store, the card and a person get to know it. */
export interface DescribedVariant {
  readonly variant: Variant;
  readonly artifact: Artifact;
  readonly card: ModelCard['variants'][number];
  readonly report: VariantReport;
}

/**
 * Names the artifact, computes golden outputs, counts what it costs and looks at the optimised graph.
 *
 * @param trained what the variant was made from: casts of its own are as they should be
 */
export async function describeVariant(
  { made, metrics }: MeasuredVariant,
  golden: WindowSet,
  refusals: readonly Refusal[],
  trained: ValidModel,
): Promise<DescribedVariant> {
  const { name, precision, size, model } = made;
  const policy = structuredClone(made.policy) as DecisionPolicy;
  const artifact = artifactOf(made);
  const { digest } = artifact;
  const sizeBytes = artifact.bytes.length;
  const offered = refusals.length === 0;
  const cost: Cost = costOf(model, golden);
  const optimised = await inspectOptimised(model, trained);
  const { decodedSizeBytes } = artifact;
  return {
    variant: {
      name,
      precision,
      size,
      runtime: 'onnxruntime',
      artifacts: [
        {
          role: 'model',
          digest,
          sizeBytes,
          encoding: artifact.encoding,
          ...(decodedSizeBytes === undefined ? {} : { decodedSizeBytes }),
        },
      ],
      policy,
      metrics,
      cost,
      golden: await goldenOutputs(made.bytes, golden, precision),
    },
    artifact,
    card: {
      name,
      precision,
      size,
      digest,
      sizeBytes,
      policy,
      metrics,
      cost,
      optimised: {
        operators: { ...optimised.operators },
        leftoverDequantize: optimised.leftoverDequantize.map(shortened),
        casts: optimised.casts.map(shortened),
      },
      offered,
      refusals: [...refusals],
    },
    report: {
      name,
      sizeBytes,
      parameters: cost.parameters,
      metrics,
      optimised,
      offered,
      refusals,
      ...(made.ranges === undefined ? {} : { ranges: made.ranges }),
    },
  };
}

/** Less is not worth unpacking on every device, but for a kind that is made for it: of the size, and in bytes. */
const LEAST_SAVING = 0.25;
const LEAST_SAVED_BYTES = 64 * 1_024;

/** Packed where the kind is made for that or it saves a lot. */
function artifactOf({ bytes, kind }: MadeVariant): Artifact {
  const packed = encodeArtifact(bytes);
  const saved = bytes.length - packed.bytes.length;
  const worth = kind === 'sparse' || saved >= Math.max(LEAST_SAVED_BYTES, LEAST_SAVING * bytes.length);
  const chosen = worth ? packed : ({ bytes, encoding: 'identity' } as const);
  return { digest: createHash('sha256').update(chosen.bytes).digest('hex'), ...chosen };
}

/** Names of values are as long as their maker likes; a card's are not. */
function shortened(name: string): string {
  return name.slice(0, 200);
}
