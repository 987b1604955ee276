import { FAMILY_NAMES } from '@drover/contracts';
import type { FamilySpec } from '@drover/factory';
import { InvalidInputError } from '@drover/runtime';
import type { Command } from 'commander';
import { wholeNumber } from './reading-flags.ts';

/** Options of every command that trains. */
export interface TrainingFlags {
  readonly family: string;
  readonly option?: Record<string, OptionValue>;
  readonly window?: number;
  readonly stride?: number;
  readonly seed: number;
}

type OptionValue = number | boolean | string | number[];

export function addTrainingOptions(command: Command): Command {
  const names = FAMILY_NAMES.join(', ');
  return command
    .option('--family <name>', `model family: ${names}`, 'auto')
    .option('--option <name=value>', 'a hyperparameter of the family; may be given several times', collectOption)
    .option('--window <samples>', 'samples per window (default: the family decides)', samples)
    .option('--stride <samples>', 'samples from one window to the next (default: 1)', samples)
    .option('--seed <number>', 'the same data and seed give the same model', seed, 1);
}

/** As the control plane's API has it. */
const MOST_SAMPLES = 1024;
const LARGEST_SEED = 2 ** 31 - 1;

/** @throws InvalidInputError */
function samples(text: string): number {
  const value = wholeNumber(text);
  if (value < 1 || value > MOST_SAMPLES) throw new InvalidInputError(`"${text}" must be 1 to ${MOST_SAMPLES} samples.`);
  return value;
}

/** @throws InvalidInputError */
function seed(text: string): number {
  const value = wholeNumber(text);
  if (value > LARGEST_SEED) throw new InvalidInputError(`"${text}" must be at most ${LARGEST_SEED}.`);
  return value;
}

export function familyOf({ family, option = {} }: TrainingFlags): FamilySpec {
  return { name: family, options: option };
}

/** `epochs=20`, `tied=true`, `hidden=64,8,64`, `mode=fast` @throws InvalidInputError */
export function collectOption(text: string, known: Record<string, OptionValue> = {}): Record<string, OptionValue> {
  const at = text.indexOf('=');
  const name = text.slice(0, at).trim();
  if (at < 1 || name === '') throw new InvalidInputError(`"${text}" must be a name and a value, like epochs=20.`);
  return { ...known, [name]: optionValue(text.slice(at + 1).trim()) };
}

function optionValue(text: string): OptionValue {
  if (text === 'true' || text === 'false') return text === 'true';
  const numbers = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (!numbers.every(Number.isFinite)) return text;
  return numbers.length === 1 ? numbers[0]! : numbers;
}
