import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.ts';
import type { DevicePrincipal } from './device-gateway.ts';

/** Who a device says it is, where nothing proves it: the plain listener of development. */
@Injectable()
export class DevelopmentDevicesRepository {
  constructor(private readonly database: Database) {}

  /** @param username `fleet/device` */
  async find(username: string | undefined): Promise<DevicePrincipal | null> {
    const [fleet, device, ...rest] = (username ?? '').split('/');
    if (!fleet || !device || rest.length > 0) return null;
    const { rowCount } = await this.database.pool.query(
      `SELECT FROM devices WHERE fleet_id = $1 AND id = $2 AND state = 'active'`,
      [fleet, device],
    );
    return rowCount === 1 ? { fleet, device, certificateSerial: 'development' } : null;
  }
}
