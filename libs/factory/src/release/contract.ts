import type { CompressionContract, ContractTerm, Metrics, Refusal, VariantKind } from '@drover/contracts';

/** What a variant of this kind may lose; nothing is asked of fp32, which the others are compared with. */
export function termOf(contract: CompressionContract, kind: VariantKind): ContractTerm | undefined {
  return kind === 'fp32' ? undefined : contract[kind];
}

/**
 * The terms that a variant breaks. What was not measured (there was nothing labelled) breaks none.
 *
 * @param alone VUS-PR of the same network trained without its teacher, for a distilled one: it must be beaten
 */
export function refusalsOf(
  name: string,
  kind: VariantKind,
  { vusPr, vusPrLoss, agreement }: Metrics,
  contract: CompressionContract,
  alone?: number,
): Refusal[] {
  const term = termOf(contract, kind);
  if (term === undefined) return [];
  const refusals: Refusal[] = [];
  if (vusPrLoss !== undefined && vusPrLoss > term.maxVusPrLoss) {
    refusals.push({
      rule: 'vus-pr-loss',
      value: vusPrLoss,
      limit: term.maxVusPrLoss,
      message: `${name}: VUS-PR is ${shown(vusPrLoss)} below that of fp32, at most ${shown(term.maxVusPrLoss)} is allowed.`,
    });
  }
  if (agreement !== undefined && term.minAgreement !== undefined && agreement < term.minAgreement) {
    refusals.push({
      rule: 'agreement',
      value: agreement,
      limit: term.minAgreement,
      message: `${name}: ${percent(agreement)} of decisions are those of fp32, at least ${percent(term.minAgreement)} must be.`,
    });
  }
  if (alone !== undefined && vusPr !== undefined && vusPr <= alone) {
    refusals.push({
      rule: 'worse-than-alone',
      value: vusPr,
      limit: alone,
      message: `${name}: VUS-PR is ${shown(vusPr)}, the same network trained without its teacher reaches ${shown(alone)}.`,
    });
  }
  return refusals;
}

function shown(value: number): string {
  return value.toFixed(4);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
