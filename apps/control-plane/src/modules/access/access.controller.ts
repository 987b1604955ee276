import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../platform/http/endpoint.decorator.ts';
import { ApiKeyService } from './api-key.service.ts';
import { AuditRepository } from './audit.repository.ts';
import { FleetService } from './fleet.service.ts';

@Controller()
export class AccessController {
  constructor(
    private readonly fleets: FleetService,
    private readonly keys: ApiKeyService,
    private readonly audit: AuditRepository,
  ) {}

  @Endpoint(api.fleets.list)
  listFleets(@ValidInput() input: Input<typeof api.fleets.list>, @TheCaller() caller: Caller) {
    return this.fleets.list(caller, input.query);
  }

  @Endpoint(api.fleets.create)
  createFleet(@ValidInput() input: Input<typeof api.fleets.create>) {
    return this.fleets.create(input.body.id, input.body.name);
  }

  @Endpoint(api.fleets.get)
  getFleet(@ValidInput() input: Input<typeof api.fleets.get>, @TheCaller() caller: Caller) {
    return this.fleets.get(caller, input.params.fleet!);
  }

  @Endpoint(api.apiKeys.list)
  listKeys(@ValidInput() input: Input<typeof api.apiKeys.list>, @TheCaller() caller: Caller) {
    return this.keys.list(caller, input.query);
  }

  @Endpoint(api.apiKeys.create)
  createKey(@ValidInput() input: Input<typeof api.apiKeys.create>, @TheCaller() caller: Caller) {
    return this.keys.create(caller.fleet, input.body);
  }

  @Endpoint(api.apiKeys.revoke)
  async revokeKey(@ValidInput() input: Input<typeof api.apiKeys.revoke>, @TheCaller() caller: Caller): Promise<void> {
    await this.keys.revoke(caller, input.params.id!);
  }

  @Endpoint(api.audit.list)
  listAudit(@ValidInput() input: Input<typeof api.audit.list>, @TheCaller() caller: Caller) {
    return this.audit.list(caller.fleet, input.query);
  }
}
