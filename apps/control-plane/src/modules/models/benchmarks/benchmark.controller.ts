import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../../platform/http/endpoint.decorator.ts';
import { BenchmarkService } from './benchmark.service.ts';

@Controller()
export class BenchmarkController {
  constructor(private readonly benchmarks: BenchmarkService) {}

  @Endpoint(api.benchmarks.list)
  list(@ValidInput() input: Input<typeof api.benchmarks.list>, @TheCaller() caller: Caller) {
    return this.benchmarks.list(caller.fleet, input.query);
  }

  @Endpoint(api.releases.choices)
  choices(@ValidInput() input: Input<typeof api.releases.choices>, @TheCaller() caller: Caller) {
    return this.benchmarks.choices(caller.fleet, input.params.release!);
  }
}
