import type { IncomingMessage, ServerResponse } from 'node:http';
import { Injectable } from '@nestjs/common';
import type { DevicePrincipal } from '../broker/device-gateway.ts';

export interface DeviceRequest {
  /** The device, where the connection was made with a valid certificate that is not revoked. */
  readonly principal: DevicePrincipal | null;
  /** DER of the client certificate that was shown, whatever it is worth. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly raw: IncomingMessage;
}

/** Answers JSON where it returns a value; writes to `response` itself where it returns undefined. */
export type DeviceRouteHandler = (request: DeviceRequest, response: ServerResponse) => Promise<object | undefined>;

export interface DeviceRoute {
  readonly method: 'GET' | 'POST' | 'HEAD';
  /** With `:name` parameters. */
  readonly path: string;
  /** Refused before the handler where no valid device certificate was shown. */
  readonly authenticated: boolean;
  readonly maxBodyBytes?: number;
  readonly handle: DeviceRouteHandler;
}

/** Routes of the devices' HTTPS listener; modules register, the listener in `enrolment` serves them. */
@Injectable()
export class DeviceRoutes {
  readonly routes: DeviceRoute[] = [];

  register(route: DeviceRoute): void {
    this.routes.push(route);
  }
}
