import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../platform/http/endpoint.decorator.ts';
import { DeviceRegistry } from './device-registry.service.ts';
import { GroupService } from './group.service.ts';
import { TwinService } from './twin.service.ts';

@Controller()
export class DevicesController {
  constructor(
    private readonly registry: DeviceRegistry,
    private readonly twins: TwinService,
    private readonly groups: GroupService,
  ) {}

  @Endpoint(api.devices.list)
  list(@ValidInput() input: Input<typeof api.devices.list>, @TheCaller() caller: Caller) {
    return this.registry.list(caller.fleet, input.query);
  }

  @Endpoint(api.devices.get)
  get(@ValidInput() input: Input<typeof api.devices.get>, @TheCaller() caller: Caller) {
    return this.registry.get(caller.fleet, input.params.device!);
  }

  @Endpoint(api.devices.update)
  update(@ValidInput() input: Input<typeof api.devices.update>, @TheCaller() caller: Caller) {
    return this.registry.update(caller.fleet, input.params.device!, input.body);
  }

  @Endpoint(api.devices.twin)
  twin(@ValidInput() input: Input<typeof api.devices.twin>, @TheCaller() caller: Caller) {
    return this.twins.get(caller.fleet, input.params.device!);
  }

  @Endpoint(api.tiers.list)
  tiers(@TheCaller() caller: Caller) {
    return this.registry.tiers(caller.fleet);
  }

  @Endpoint(api.groups.list)
  listGroups(@ValidInput() input: Input<typeof api.groups.list>, @TheCaller() caller: Caller) {
    return this.groups.list(caller.fleet, input.query);
  }

  @Endpoint(api.groups.create)
  createGroup(@ValidInput() input: Input<typeof api.groups.create>, @TheCaller() caller: Caller) {
    return this.groups.create(caller.fleet, input.body);
  }

  @Endpoint(api.groups.get)
  getGroup(@ValidInput() input: Input<typeof api.groups.get>, @TheCaller() caller: Caller) {
    return this.groups.get(caller.fleet, input.params.group!);
  }

  @Endpoint(api.groups.addDevices)
  addDevices(@ValidInput() input: Input<typeof api.groups.addDevices>, @TheCaller() caller: Caller) {
    return this.groups.addDevices(caller.fleet, input.params.group!, input.body.devices);
  }

  @Endpoint(api.groups.removeDevice)
  removeDevice(@ValidInput() input: Input<typeof api.groups.removeDevice>, @TheCaller() caller: Caller) {
    return this.groups.removeDevice(caller.fleet, input.params.group!, input.params.device!);
  }

  @Endpoint(api.groups.remove)
  removeGroup(@ValidInput() input: Input<typeof api.groups.remove>, @TheCaller() caller: Caller) {
    return this.groups.remove(caller.fleet, input.params.group!);
  }
}
