import { Injectable } from '@nestjs/common';
import type { OnModuleInit } from '@nestjs/common';
import { DeviceGateway } from '../../../platform/broker/device-gateway.ts';
import { EventIngest } from './event-ingest.service.ts';
import { MeasurementIngest } from './measurement-ingest.service.ts';
import { ReportedIngest } from './reported-ingest.service.ts';

/** Tells the gateway who takes what devices send. */
@Injectable()
export class IngestHandlers implements OnModuleInit {
  constructor(
    private readonly gateway: DeviceGateway,
    private readonly measurements: MeasurementIngest,
    private readonly events: EventIngest,
    private readonly reported: ReportedIngest,
  ) {}

  onModuleInit(): void {
    this.gateway.register('measurement', (message) => this.measurements.handle(message));
    this.gateway.register('event', (message) => this.events.handle(message));
    this.gateway.register('reported', (message) => this.reported.handle(message));
  }
}
