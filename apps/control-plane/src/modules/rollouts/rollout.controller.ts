import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../platform/http/endpoint.decorator.ts';
import { RolloutService } from './rollout.service.ts';

@Controller()
export class RolloutController {
  constructor(private readonly rollouts: RolloutService) {}

  @Endpoint(api.rollouts.list)
  list(@ValidInput() input: Input<typeof api.rollouts.list>, @TheCaller() caller: Caller) {
    return this.rollouts.list(caller.fleet, input.query);
  }

  @Endpoint(api.rollouts.create)
  create(@ValidInput() input: Input<typeof api.rollouts.create>, @TheCaller() caller: Caller) {
    return this.rollouts.create(caller.fleet, input.body);
  }

  @Endpoint(api.rollouts.get)
  get(@ValidInput() input: Input<typeof api.rollouts.get>, @TheCaller() caller: Caller) {
    return this.rollouts.get(caller.fleet, input.params.rollout!);
  }

  @Endpoint(api.rollouts.pause)
  pause(@ValidInput() input: Input<typeof api.rollouts.pause>, @TheCaller() caller: Caller) {
    return this.rollouts.pause(caller.fleet, input.params.rollout!);
  }

  @Endpoint(api.rollouts.resume)
  resume(@ValidInput() input: Input<typeof api.rollouts.resume>, @TheCaller() caller: Caller) {
    return this.rollouts.resume(caller.fleet, input.params.rollout!);
  }

  @Endpoint(api.rollouts.abort)
  abort(@ValidInput() input: Input<typeof api.rollouts.abort>, @TheCaller() caller: Caller) {
    return this.rollouts.abort(caller.fleet, input.params.rollout!);
  }

  @Endpoint(api.executions.list)
  listExecutions(@ValidInput() input: Input<typeof api.executions.list>, @TheCaller() caller: Caller) {
    return this.rollouts.listExecutions(caller.fleet, input.query);
  }

  @Endpoint(api.executions.get)
  getExecution(@ValidInput() input: Input<typeof api.executions.get>, @TheCaller() caller: Caller) {
    return this.rollouts.getExecution(caller.fleet, input.params.execution!);
  }
}
