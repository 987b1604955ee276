import { TIERS } from '@drover/contracts';
import type { BenchmarkRecord, QueryOf, TierChoice, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { NotFoundError } from '../../../platform/http/errors.ts';
import { candidatesFor } from '../candidates/candidate-plan.ts';
import { learnedVariant } from '../candidates/tier-learning.ts';
import { ReleaseRepository } from '../releases/release.repository.ts';
import { BenchmarkRepository } from './benchmark.repository.ts';

/** What devices measured, for people. */
@Injectable()
export class BenchmarkService {
  constructor(
    private readonly benchmarks: BenchmarkRepository,
    private readonly releases: ReleaseRepository,
  ) {}

  list(
    fleet: string,
    query: QueryOf<typeof api.benchmarks.list>,
  ): Promise<{ items: BenchmarkRecord[]; nextCursor: string | null }> {
    return this.benchmarks.list(fleet, query);
  }

  /**
   * By tier: what its devices measured and chose of a release, and what it has learned for a device with memory for all of it.
   *
   * @throws NotFoundError
   */
  async choices(fleet: string, release: string): Promise<{ items: TierChoice[] }> {
    if (!(await this.releases.find(fleet, release))) throw NotFoundError.of('release', release);
    const offered = await this.releases.offered(fleet, release);
    const groups = Map.groupBy(await this.benchmarks.groups(fleet, release), ({ tier }) => tier);
    const measured = Map.groupBy(await this.benchmarks.measured(fleet, release), ({ tier }) => tier);
    const items = TIERS.filter((tier) => measured.has(tier)).map((tier): TierChoice => {
      const candidates = candidatesFor({ tier, memoryBytes: Number.MAX_SAFE_INTEGER }, offered);
      return {
        tier,
        learned: learnedVariant(candidates, groups.get(tier) ?? []),
        variants: measured.get(tier)!.map(({ variant, devices, chosenBy, p50Us, p99Us }) => ({
          variant,
          devices,
          chosenBy,
          p50Us,
          p99Us,
        })),
      };
    });
    return { items };
  }
}
