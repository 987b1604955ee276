import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../../platform/http/endpoint.decorator.ts';
import { BuildService } from './build.service.ts';

@Controller()
export class BuildController {
  constructor(private readonly builds: BuildService) {}

  @Endpoint(api.builds.list)
  list(@ValidInput() input: Input<typeof api.builds.list>, @TheCaller() caller: Caller) {
    return this.builds.list(caller.fleet, input.query);
  }

  @Endpoint(api.builds.create)
  create(@ValidInput() input: Input<typeof api.builds.create>, @TheCaller() caller: Caller) {
    return this.builds.create(caller.fleet, input.body);
  }

  @Endpoint(api.builds.get)
  get(@ValidInput() input: Input<typeof api.builds.get>, @TheCaller() caller: Caller) {
    return this.builds.get(caller.fleet, input.params.build!);
  }

  @Endpoint(api.builds.cancel)
  cancel(@ValidInput() input: Input<typeof api.builds.cancel>, @TheCaller() caller: Caller) {
    return this.builds.cancel(caller.fleet, input.params.build!);
  }
}
