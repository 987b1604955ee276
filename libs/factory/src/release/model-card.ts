import { modelCardSchema } from '@drover/contracts';
import type { CompressionContract, ModelCard, ModelSignature } from '@drover/contracts';
import type { DescribedVariant } from './describe-variant.ts';
import type { PreparedModel } from './prepared-model.ts';

export interface CardParts {
  readonly prepared: PreparedModel;
  readonly signature: ModelSignature;
  readonly contract: CompressionContract;
  readonly seed: number;
  readonly described: readonly DescribedVariant[];
  readonly limits: readonly string[];
  readonly createdAt: Date;
}

const LONGEST_SENTENCE = 500;

/** What a person should know before a release is used. */
export function modelCardOf(parts: CardParts): ModelCard {
  const { prepared, signature, contract, seed, described, limits, createdAt } = parts;
  const { detector, data } = prepared;
  const { options, choice } = detector.summary;
  return modelCardSchema.parse({
    format: 'drover.model-card/1',
    model: null,
    release: null,
    createdAt: createdAt.toISOString(),
    family: detector.family,
    choice: Array.isArray(choice) ? choice.map((sentence) => shortened(String(sentence))) : [],
    signature,
    data: {
      ...data,
      trainingWindows: detector.trainedOn.count,
      setAside: detector.normal.filter((flag) => !flag).length,
    },
    hyperparameters: plain(typeof options === 'object' && options !== null ? options : withoutChoice(detector.summary)),
    seed,
    contract,
    variants: described.map(({ card }) => card),
    limits: limits.map(shortened),
  } satisfies ModelCard);
}

function withoutChoice(summary: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(summary).filter(([name]) => name !== 'choice'));
}

/** As JSON keeps it. */
function plain(value: object): Record<string, unknown> {
  return JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
}

function shortened(sentence: string): string {
  return sentence.length <= LONGEST_SENTENCE ? sentence : `${sentence.slice(0, LONGEST_SENTENCE - 1)}…`;
}
