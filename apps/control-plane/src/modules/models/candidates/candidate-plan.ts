import { TIER_PRECISION_ORDER } from '@drover/contracts';
import type { Tier } from '@drover/contracts';

/** A variant that keeps the release's compression contract. */
export interface OfferedVariant {
  readonly name: string;
  readonly precision: string;
  /** Size class: `full`, `pruned-50`, `sparse-50`, `student`. */
  readonly size: string;
  readonly minMemoryBytes?: number | undefined;
  /** VUS-PR of fp32 less its own. */
  readonly vusPrLoss?: number | undefined;
}

/** A device for which candidates are looked for. */
export interface CandidateDevice {
  readonly tier: Tier;
  readonly memoryBytes: number;
}

/** What a rollout asks of the variants. */
export interface CandidateRules {
  /** This one alone. */
  readonly variant?: string | null | undefined;
  /** Largest loss of VUS-PR. */
  readonly accuracyBudget?: number | null | undefined;
}

/** Less memory than this: smaller networks are tried first. */
const SMALL_MEMORY_BYTES = 2 ** 30;

/** The smaller the network, the later: nothing of it was lost in `full` and the least in `sparse`. */
const SIZE_ORDER = ['full', 'sparse', 'pruned', 'student'];

/**
 * The variants that a device may use, in the order in which it would take them without measuring: by the size of the network (the
 * largest first, on small machines the smallest), then by the precision that its tier prefers. The device picks among them by
 * measuring. Empty where none fits. Pure.
 */
export function candidatesFor(
  { tier, memoryBytes }: CandidateDevice,
  variants: readonly OfferedVariant[],
  { variant: pinned, accuracyBudget }: CandidateRules = {},
): string[] {
  const order = TIER_PRECISION_ORDER[tier] as readonly string[];
  const direction = memoryBytes < SMALL_MEMORY_BYTES ? -1 : 1;
  return variants
    .filter(
      (variant) =>
        // Who pins a variant knows better than the tier's rule.
        (pinned == null ? order.includes(variant.precision) : variant.name === pinned) &&
        (variant.minMemoryBytes ?? 0) <= memoryBytes &&
        (accuracyBudget == null || (variant.vusPrLoss ?? 0) <= accuracyBudget),
    )
    .toSorted(
      (a, b) =>
        direction * (sizeRank(a.size) - sizeRank(b.size)) ||
        order.indexOf(a.precision) - order.indexOf(b.precision) ||
        (a.name < b.name ? -1 : 1),
    )
    .map((variant) => variant.name);
}

/** An unknown size class comes after the known ones. */
function sizeRank(size: string): number {
  const rank = SIZE_ORDER.findIndex((known) => size === known || size.startsWith(`${known}-`));
  return rank === -1 ? SIZE_ORDER.length : rank;
}
