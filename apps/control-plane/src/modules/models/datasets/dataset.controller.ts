import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../../platform/http/endpoint.decorator.ts';
import { DatasetService } from './dataset.service.ts';

@Controller()
export class DatasetController {
  constructor(private readonly datasets: DatasetService) {}

  @Endpoint(api.datasets.list)
  list(@ValidInput() input: Input<typeof api.datasets.list>, @TheCaller() caller: Caller) {
    return this.datasets.list(caller.fleet, input.query);
  }

  @Endpoint(api.datasets.create)
  create(@ValidInput() input: Input<typeof api.datasets.create>, @TheCaller() caller: Caller) {
    return this.datasets.create(caller.fleet, input.body);
  }

  @Endpoint(api.datasets.get)
  get(@ValidInput() input: Input<typeof api.datasets.get>, @TheCaller() caller: Caller) {
    return this.datasets.get(caller.fleet, input.params.dataset!);
  }

  @Endpoint(api.datasets.delete)
  async delete(@ValidInput() input: Input<typeof api.datasets.delete>, @TheCaller() caller: Caller): Promise<void> {
    await this.datasets.delete(caller.fleet, input.params.dataset!);
  }
}
