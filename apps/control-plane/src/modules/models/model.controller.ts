import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../platform/http/endpoint.decorator.ts';
import { ModelService } from './model.service.ts';

@Controller()
export class ModelController {
  constructor(private readonly models: ModelService) {}

  @Endpoint(api.models.list)
  listModels(@ValidInput() input: Input<typeof api.models.list>, @TheCaller() caller: Caller) {
    return this.models.list(caller.fleet, input.query);
  }

  @Endpoint(api.models.create)
  createModel(@ValidInput() input: Input<typeof api.models.create>, @TheCaller() caller: Caller) {
    return this.models.create(caller.fleet, input.body);
  }

  @Endpoint(api.models.get)
  getModel(@ValidInput() input: Input<typeof api.models.get>, @TheCaller() caller: Caller) {
    return this.models.get(caller.fleet, input.params.model!);
  }
}
