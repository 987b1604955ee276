import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../../platform/http/endpoint.decorator.ts';
import { CaptureService } from './capture.service.ts';

@Controller()
export class CaptureController {
  constructor(private readonly captures: CaptureService) {}

  @Endpoint(api.captures.list)
  list(@ValidInput() input: Input<typeof api.captures.list>, @TheCaller() caller: Caller) {
    return this.captures.list(caller.fleet, input.query);
  }

  @Endpoint(api.captures.create)
  create(@ValidInput() input: Input<typeof api.captures.create>, @TheCaller() caller: Caller) {
    return this.captures.create(caller.fleet, input.body);
  }

  @Endpoint(api.captures.get)
  get(@ValidInput() input: Input<typeof api.captures.get>, @TheCaller() caller: Caller) {
    return this.captures.get(caller.fleet, input.params.capture!);
  }

  @Endpoint(api.captures.cancel)
  cancel(@ValidInput() input: Input<typeof api.captures.cancel>, @TheCaller() caller: Caller) {
    return this.captures.cancel(caller.fleet, input.params.capture!);
  }
}
