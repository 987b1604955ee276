import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../../platform/http/endpoint.decorator.ts';
import { MeasurementService } from './measurement.service.ts';

@Controller()
export class TelemetryController {
  constructor(private readonly measurementService: MeasurementService) {}

  @Endpoint(api.devices.streams)
  streams(@ValidInput() { params }: Input<typeof api.devices.streams>, @TheCaller() caller: Caller) {
    return this.measurementService.streams(caller.fleet, params.device!);
  }

  @Endpoint(api.devices.measurements)
  measurements(@ValidInput() { params, query }: Input<typeof api.devices.measurements>, @TheCaller() caller: Caller) {
    return this.measurementService.measurements(caller.fleet, params.device!, query);
  }
}
