import type { CompressionContract, Manifest, ModelCard, ModelSignature, VariantKind } from '@drover/contracts';
import { manifestSchema } from '@drover/contracts';
import type { PolicySpec } from '@drover/detection';
import type { FamilySpec } from '../families.ts';
import type { Recording } from '../window-set.ts';
import type { Artifact, VariantReport } from './describe-variant.ts';
import type { ShapeOptions } from './signature-of.ts';

/** A recording and where it comes from, for the model card. */
export interface NamedRecording extends Recording {
  /** What a person calls it; `recording 1` and so on by default. */
  readonly name?: string;
  /** SHA-256 of its file, where there is one. */
  readonly digest?: string;
}

/** A labelled recording to measure on, and from which row on it counts (what comes before may have been trained on). */
export interface NamedEvaluation {
  readonly recording: NamedRecording & { readonly labels: Uint8Array };
  readonly fromRow?: number;
}

/** Where a release's model comes from. */
export type ReleaseSource = TrainSource | ImportSource;

export interface TrainSource {
  readonly kind: 'train';
  /** Normal operation; all with the same channels. A small share of anomalies does little harm; labels are not looked at. */
  readonly recordings: readonly NamedRecording[];
  readonly family: FamilySpec;
  /** Train on this many first rows of each recording; all by default. */
  readonly trainRows?: number;
}

export interface ImportSource {
  readonly kind: 'import';
  /** The ONNX file. */
  readonly model: Uint8Array;
  readonly signature: ModelSignature;
  /** Found on the calibration data where it is left out. */
  readonly policy?: PolicySpec;
  /**
   * Normal operation, with the signature's channels: for ranges, golden vectors and, where none is given, the policy. Without
   * any, the variants are made of windows around zero, and the card says so.
   */
  readonly calibration?: readonly NamedRecording[];
}

export interface BuildOptions extends ShapeOptions {
  readonly source: ReleaseSource;
  /**
   * Labelled recordings to measure quality on; never used for training or thresholds. Without any, the last fifth of each
   * training recording is held out and measured on with faults put in.
   */
  readonly evaluation?: readonly NamedEvaluation[];
  /** Kinds of variants to make; by default those that fit the family. fp32 is always made. */
  readonly variants?: readonly VariantKind[];
  /** What a variant may lose; the contract's defaults where left out. */
  readonly contract?: CompressionContract;
  /** Units by channel name. */
  readonly units?: Readonly<Record<string, string>>;
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: BuildProgress) => void;
  /** For the card; now by default. */
  readonly createdAt?: Date;
}

export const BUILD_PHASES = ['preparing', 'training', 'compressing', 'measuring', 'done'] as const;
export type BuildPhase = (typeof BUILD_PHASES)[number];

export interface BuildProgress {
  /** 0 to 100, never falling. */
  readonly percent: number;
  readonly phase: BuildPhase;
  /** Of the last epoch, while a network is being trained. */
  readonly loss?: number;
}

/** A manifest without what only the control plane knows: fleet, model, release and time. */
export const manifestDraftSchema = manifestSchema.omit({ fleet: true, model: true, release: true, createdAt: true });
export type ManifestDraft = Omit<Manifest, 'fleet' | 'model' | 'release' | 'createdAt'>;

export interface BuildReport {
  readonly family: string;
  readonly trainingWindows: number;
  /** What the trainer tells of itself: hyperparameters, counts. */
  readonly training: Readonly<Record<string, unknown>>;
  /** Every variant, the refused ones too. */
  readonly variants: readonly VariantReport[];
  /** For a person: what is unusual, though not wrong. The card's limits. */
  readonly warnings: readonly string[];
}

export interface BuiltRelease {
  /** Holds the variants that are offered. */
  readonly manifestDraft: ManifestDraft;
  /** Of every variant, those of refused ones too. */
  readonly artifacts: readonly Artifact[];
  /** `model` and `release` are null: only the control plane knows them. */
  readonly card: ModelCard;
  readonly report: BuildReport;
}
