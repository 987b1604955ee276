import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import type { ArtifactRef, Calibration, DesiredPipeline, KeySet, Manifest, Variant } from '@drover/contracts';
import { ArtifactUnavailableError } from '@drover/device-protocol';
import { DataType, GraphBuilder, encodeModel, float32, int64 } from '@drover/onnx';
import { generateKeyPair, signDocument } from '@drover/trust';
import type { KeyPair } from '@drover/trust';
import type { ArtifactName } from './artifact-shelf.ts';
import type { FetchArtifact } from './candidate-trials.ts';

export const FLEET = 'main';
export const CHANNELS = ['pressure', 'flow'] as const;
const WINDOW = 4;

export interface SampleVariant {
  readonly name?: string;
  /** Score: mean square of the window times this. */
  readonly gain?: number;
  /** Multiplications of a large matrix, to be slow. */
  readonly ballast?: number;
  /** Values that a run needs room for besides. */
  readonly scratchValues?: number;
  /** The score is no number where the mean square is over this. */
  readonly breaksOver?: number;
  /** Golden outputs that the graph does not reproduce. */
  readonly wrongGolden?: boolean;
  readonly bytes?: Buffer;
  readonly minMemoryBytes?: number;
  readonly peakMemoryBytes?: number;
  /** Sent packed; `lie` is added to the size that it is said to unpack to. */
  readonly packed?: { readonly lie: number };
}

export interface SampleRelease {
  readonly release: string;
  readonly version?: number;
  readonly variants?: readonly SampleVariant[];
  readonly channels?: readonly string[];
  readonly execution?: string | null;
  readonly rollout?: string | null;
  readonly rollback?: boolean;
  readonly candidates?: readonly string[];
  readonly calibration?: (digest: string) => Calibration;
  readonly fleet?: string;
  readonly signedBy?: KeyPair;
}

/** A server's shelf of real releases: real graphs, signed manifests, by digest. */
export class ReleaseSource {
  readonly key = generateKeyPair();
  readonly artifacts = new Map<string, Buffer>();
  /** How often each artifact was asked for. */
  readonly asked: string[] = [];
  readonly #models = new Map<string, string>();

  get keySet(): KeySet {
    const { keyId, publicKey } = this.key;
    const keys: KeySet['keys'] = [{ keyId, publicKey, purposes: ['twin', 'manifest'] }];
    return { format: 'drover.keys/1', version: 1, issuedAt: '2026-11-01T00:00:00Z', keys };
  }

  /** Puts a release on the shelf. @returns what a desired state says of it */
  publish(sample: SampleRelease): DesiredPipeline {
    const channels = sample.channels ?? CHANNELS;
    const variants = (sample.variants ?? [{}]).map((variant) => this.#variant(variant, channels.length));
    const golden = goldenWindow(channels.length);
    const manifest: Manifest = {
      format: 'drover.manifest/1',
      fleet: sample.fleet ?? FLEET,
      model: { id: 'pump', name: 'Pump' },
      release: { id: sample.release, version: sample.version ?? 1 },
      createdAt: '2026-11-20T12:00:00Z',
      family: 'sample',
      signature: {
        channels: channels.map((name) => ({ name, kind: 'numeric', resampling: 'last' })),
        rateHz: 1,
        window: WINDOW,
        stride: 1,
        warmup: 0,
        maxGapMs: 5_000,
        stateReset: 'gap',
      },
      golden: { count: 1, window: base64(golden) },
      variants,
    };
    for (const variant of variants) {
      this.#models.set(`${sample.release}/${variant.name}`, variant.artifacts[0]!.digest);
    }
    const document = signDocument('manifest', manifest, [sample.signedBy ?? this.key]);
    const { digest, sizeBytes } = this.#put(Buffer.from(JSON.stringify(document)));
    const model = variants[0]!.artifacts[0]!.digest;
    return {
      release: sample.release,
      releaseVersion: sample.version ?? 1,
      ...(sample.rollback !== undefined && { rollback: sample.rollback }),
      rollout: sample.rollout === undefined ? `rollout-${sample.release}` : sample.rollout,
      execution: sample.execution === undefined ? `execution-${sample.release}` : sample.execution,
      manifest: { digest, sizeBytes },
      candidates: [...(sample.candidates ?? variants.map((variant) => variant.name))],
      calibration: sample.calibration?.(model) ?? null,
    };
  }

  /** Brings artifacts into a folder, as the real transfer does once it has checked them. */
  fetchInto(folder: string): FetchArtifact {
    return async ({ digest }, onBytes) => {
      this.asked.push(digest);
      const bytes = this.artifacts.get(digest);
      if (bytes === undefined) throw new ArtifactUnavailableError(`The server does not give ${digest}`);
      onBytes(bytes.length);
      await writeFile(join(folder, digest), bytes);
    };
  }

  /** Digest of a variant's model. */
  digestOf(release: string, variant: string): string {
    return this.#models.get(`${release}/${variant}`)!;
  }

  withdraw(digest: string): void {
    this.artifacts.delete(digest);
  }

  #variant(sample: SampleVariant, channels: number): Variant {
    const bytes = sample.bytes ?? sampleGraph(sample, channels);
    const name = sample.name ?? 'fp32';
    const golden = goldenWindow(channels);
    const mean = golden.reduce((sum, value) => sum + value ** 2, 0) / golden.length;
    const gained = mean * (sample.gain ?? 1);
    const score = sample.breaksOver === undefined ? gained : Math.sqrt(sample.breaksOver - gained);
    const contributions = Array.from({ length: channels }, (_, c) => {
      const own = golden.filter((_value, i) => i % channels === c);
      return (own.reduce((sum, value) => sum + value ** 2, 0) / own.length) * (sample.gain ?? 1);
    });
    return {
      name,
      precision: 'fp32',
      size: 'full',
      runtime: 'onnxruntime',
      artifacts: [this.#artifact(bytes, sample.packed)],
      policy: { kind: 'threshold', threshold: 50, releaseRatio: 0.8, minLength: 1 },
      metrics: {},
      golden: {
        score: base64(Float32Array.from([sample.wrongGolden === true ? score + 1 : score])),
        contributions: base64(Float32Array.from(contributions)),
        absoluteTolerance: 1e-4,
        relativeTolerance: 1e-4,
      },
      ...(sample.minMemoryBytes !== undefined && { minMemoryBytes: sample.minMemoryBytes }),
      ...(sample.peakMemoryBytes !== undefined && {
        cost: { parameters: 1, multiplyAccumulates: 1, peakMemoryBytes: sample.peakMemoryBytes },
      }),
    };
  }

  #artifact(bytes: Buffer, packed: SampleVariant['packed']): ArtifactRef {
    if (packed === undefined) return { role: 'model', encoding: 'identity', ...this.#put(bytes) };
    const decodedSizeBytes = bytes.length + packed.lie;
    return { role: 'model', encoding: 'zstd', decodedSizeBytes, ...this.#put(zstdCompressSync(bytes)) };
  }

  #put(bytes: Buffer): ArtifactName {
    const digest = createHash('sha256').update(bytes).digest('hex');
    this.artifacts.set(digest, bytes);
    return { digest, sizeBytes: bytes.length };
  }
}

function goldenWindow(channels: number): Float32Array {
  return Float32Array.from({ length: WINDOW * channels }, (_, i) => (i % 5) / 5);
}

/** Score: the window's mean square times the gain; contributions: the same per channel. */
function sampleGraph(
  { gain = 1, ballast = 0, scratchValues = 0, breaksOver }: SampleVariant,
  channels: number,
): Buffer {
  const graph = new GraphBuilder('sample');
  const x = graph.input('window', DataType.FLOAT, ['N', WINDOW, channels]);
  const along = graph.initializer('along', int64([1]));
  const square = graph.node('Mul', [graph.node('Mul', [x, x]), graph.initializer('gain', float32(gain))]);
  graph.node('ReduceMean', [square, along], { keepdims: 0 }, { outputs: ['contributions'] });
  let score = graph.node('ReduceMean', ['contributions', along], { keepdims: 1 });
  if (ballast > 0) {
    const size = 192;
    const zeros = graph.initializer('zeros', float32(new Float32Array(size * size), [size, size]));
    let heavy = graph.node('Add', [zeros, score]);
    for (let i = 0; i < ballast; i += 1) heavy = graph.node('MatMul', [heavy, zeros]);
    const nothing = graph.node('ReduceMean', [heavy, graph.initializer('both', int64([0, 1]))], { keepdims: 0 });
    score = graph.node('Add', [score, nothing]);
  }
  if (scratchValues > 0) {
    const shape = graph.initializer('scratch', int64([1, scratchValues]));
    score = graph.node('ReduceMax', [graph.node('Expand', [score, shape]), along], { keepdims: 1 });
  }
  if (breaksOver !== undefined) {
    score = graph.node('Sqrt', [graph.node('Sub', [graph.initializer('limit', float32(breaksOver)), score])]);
  }
  graph.node('Identity', [score], {}, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', channels]);
  return Buffer.from(encodeModel(graph.build()));
}

function base64(values: Float32Array): string {
  return Buffer.from(values.buffer).toString('base64');
}
