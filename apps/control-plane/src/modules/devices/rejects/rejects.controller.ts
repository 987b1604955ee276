import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../../platform/http/endpoint.decorator.ts';
import { RejectsService } from './rejects.service.ts';
import type { RejectPage } from './rejects.service.ts';

@Controller()
export class RejectsController {
  constructor(private readonly rejects: RejectsService) {}

  @Endpoint(api.rejects.list)
  list(@ValidInput() { query }: Input<typeof api.rejects.list>, @TheCaller() caller: Caller): Promise<RejectPage> {
    return this.rejects.list(caller.fleet, query);
  }
}
