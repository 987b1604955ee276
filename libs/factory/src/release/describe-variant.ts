import { createHash } from 'node:crypto';
import type { Metrics, Variant } from '@drover/contracts';
import { parameterCount } from '@drover/onnx';
import type { WindowSet } from '../window-set.ts';
import { goldenOutputs } from './golden-vectors.ts';
import type { MadeVariant, VariantPrecision } from './make-variants.ts';
import { inspectOptimised } from '../compression/inspect-optimised.ts';
import type { OptimisedGraphReport } from '../compression/inspect-optimised.ts';

export interface Artifact {
  /** SHA-256, lower-case hexadecimal. */
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export interface VariantReport {
  readonly name: string;
  readonly sizeBytes: number;
  readonly parameters: number;
  readonly metrics: Metrics;
  readonly optimised: OptimisedGraphReport;
  /** Chosen ranges of activations, for int8. */
  readonly ranges?: Readonly<Record<string, readonly [low: number, high: number]>>;
}

/** A variant as the manifest, the artifact store and a person get to know it. */
export interface DescribedVariant {
  readonly precision: VariantPrecision;
  readonly variant: Variant;
  readonly artifact: Artifact;
  readonly report: VariantReport;
}

/** Names the artifact, computes golden outputs and looks at the optimised graph. */
export async function describeVariant(
  made: MadeVariant,
  metrics: Metrics,
  golden: WindowSet,
): Promise<DescribedVariant> {
  const { precision, bytes, policy, model, int8 } = made;
  const digest = createHash('sha256').update(bytes).digest('hex');
  return {
    precision,
    variant: {
      name: precision,
      precision,
      size: 'full',
      runtime: 'onnxruntime',
      artifacts: [{ role: 'model', digest, sizeBytes: bytes.length, encoding: 'identity' }],
      policy,
      metrics,
      golden: await goldenOutputs(bytes, golden, precision),
    },
    artifact: { digest, bytes },
    report: {
      name: precision,
      sizeBytes: bytes.length,
      parameters: parameterCount(model),
      metrics,
      optimised: await inspectOptimised(model),
      ...(int8 === undefined ? {} : { ranges: int8.ranges }),
    },
  };
}
