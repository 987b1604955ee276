import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../platform/http/endpoint.decorator.ts';
import { AnomalyService } from './anomaly.service.ts';

@Controller()
export class AnomalyController {
  constructor(private readonly anomalies: AnomalyService) {}

  @Endpoint(api.anomalies.list)
  list(@ValidInput() { query }: Input<typeof api.anomalies.list>, @TheCaller() caller: Caller) {
    return this.anomalies.list(caller.fleet, query);
  }

  @Endpoint(api.devices.anomalies)
  listOfDevice(@ValidInput() { params, query }: Input<typeof api.devices.anomalies>, @TheCaller() caller: Caller) {
    return this.anomalies.listOfDevice(caller.fleet, params.device!, query);
  }

  @Endpoint(api.anomalies.get)
  get(@ValidInput() { params }: Input<typeof api.anomalies.get>, @TheCaller() caller: Caller) {
    return this.anomalies.get(caller.fleet, params.device!, params.anomaly!);
  }
}
