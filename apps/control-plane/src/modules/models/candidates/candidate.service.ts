import type { Tier } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { BenchmarkRepository } from '../benchmarks/benchmark.repository.ts';
import { ReleaseRepository } from '../releases/release.repository.ts';
import { candidatesFor } from './candidate-plan.ts';
import type { CandidateRules } from './candidate-plan.ts';
import { isSampled, learnedVariant } from './tier-learning.ts';

/** A device that a release is to be offered to. */
export interface DeviceToOffer {
  readonly device: string;
  readonly tier: string;
  readonly memoryBytes: number;
}

/** Which variants of a release devices are offered: what fits, or the one that their tier has learned to take. */
@Injectable()
export class CandidateService {
  constructor(
    private readonly config: Config,
    private readonly releases: ReleaseRepository,
    private readonly benchmarks: BenchmarkRepository,
  ) {}

  /** For many devices with two queries, in their order. Empty where nothing fits. */
  async offer(
    tx: Transaction,
    fleet: string,
    release: string,
    rules: CandidateRules,
    devices: readonly DeviceToOffer[],
  ): Promise<string[][]> {
    const variants = await this.releases.offered(fleet, release, tx);
    const measured = Map.groupBy(await this.benchmarks.groups(fleet, release, tx), ({ tier }) => tier);
    const share = this.config.queue.DROVER_REMEASURE_SHARE;
    return devices.map(({ device, tier, memoryBytes }) => {
      const fitting = candidatesFor({ tier: tier as Tier, memoryBytes }, variants, rules);
      if (fitting.length < 2 || isSampled(device, release, share)) return fitting;
      const learned = learnedVariant(fitting, measured.get(tier) ?? []);
      return learned === null ? fitting : [learned];
    });
  }
}
