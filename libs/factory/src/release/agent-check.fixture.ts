import { zstdDecompressSync } from 'node:zlib';
import type { Variant } from '@drover/contracts';
import { checkGolden, decodeFloats, DetectorSession, loadOnnxRuntime } from '@drover/inference';
import type { GoldenReport } from '@drover/inference';
import type { BuiltRelease } from './release-options.ts';

/** The file of a variant, unpacked as the manifest says. */
export function fileOf({ artifacts }: BuiltRelease, variant: Variant): Uint8Array {
  const [reference] = variant.artifacts;
  const { bytes } = artifacts.find(({ digest }) => digest === reference?.digest)!;
  return reference?.encoding === 'zstd' ? zstdDecompressSync(bytes) : bytes;
}

/** What the agent does before it takes a variant. @throws GoldenMismatchError */
export async function checkAsAgent(
  release: BuiltRelease,
  variant: Variant,
  file = fileOf(release, variant),
): Promise<GoldenReport> {
  const { signature, golden } = release.manifestDraft;
  const session = await DetectorSession.open(loadOnnxRuntime(), file, signature, { providers: ['cpu'] });
  try {
    const { score, contributions, absoluteTolerance, relativeTolerance } = variant.golden;
    return await checkGolden(session, {
      count: golden.count,
      window: decodeFloats(golden.window),
      score: decodeFloats(score),
      contributions: decodeFloats(contributions),
      absoluteTolerance,
      relativeTolerance,
    });
  } finally {
    await session.release();
  }
}
