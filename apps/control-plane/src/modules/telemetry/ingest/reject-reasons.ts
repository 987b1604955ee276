import { DroverError } from '@drover/runtime';
import type { DeviceMessage } from '../../../platform/broker/device-gateway.ts';
import type { NewReject } from '../../devices/rejects/rejects.service.ts';
import { databaseReason, sqlStateOf } from '../../../platform/database/database-faults.ts';

export function rejectOf(message: DeviceMessage, code: string, reason: string): NewReject {
  const { principal, topic, payload } = message;
  return { fleet: principal.fleet, device: principal.device, topic, code, message: reason, payload };
}

/** As a reject: our own error by its code, a refusal of the database with its SQLSTATE. */
export function rejectOfError(message: DeviceMessage, error: unknown): NewReject {
  if (error instanceof DroverError) return rejectOf(message, error.code, error.message);
  return rejectOf(message, 'not-storable', `${sqlStateOf(error) ?? 'refused'}: ${databaseReason(error)}`);
}
