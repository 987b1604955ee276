import type { Capture, QueryOf, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Prisma } from '../../../generated/prisma/client.ts';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../../platform/http/page.ts';
import type { CaptureDeviceStatus } from './capture-plan.ts';

const withDevices = { devices: { orderBy: { deviceId: 'asc' } } } satisfies Prisma.CaptureInclude;
export type CaptureRow = Prisma.CaptureGetPayload<{ include: typeof withDevices }>;

export interface NewCapture {
  readonly id: string;
  readonly name: string;
  readonly pipeline: string;
  readonly durationMs: number;
  readonly deadlineAt: Date;
  readonly devices: readonly string[];
}

/** What has to be known of a device before it is asked. */
export interface AskedDevice {
  readonly id: string;
  readonly state: string;
  readonly hasPipeline: boolean;
}

export interface CommandAnswer {
  readonly device: string;
  readonly status: string;
  readonly message: string | null;
}

@Injectable()
export class CaptureRepository {
  constructor(private readonly database: Database) {}

  async asked(
    tx: Transaction,
    fleet: string,
    ids: readonly string[],
    pipeline: string,
  ): Promise<Map<string, AskedDevice>> {
    const rows = await tx.$queryRaw<AskedDevice[]>`
      SELECT id, state, ${pipeline} = ANY(pipelines) AS "hasPipeline" FROM devices
       WHERE fleet_id = ${fleet} AND id = ANY(${[...ids]}::text[])`;
    return new Map(rows.map((row) => [row.id, row]));
  }

  async create(tx: Transaction, fleet: string, { devices, ...capture }: NewCapture): Promise<void> {
    await tx.capture.create({ data: { fleetId: fleet, ...capture } });
    await tx.captureDevice.createMany({
      data: devices.map((device) => ({ fleetId: fleet, captureId: capture.id, deviceId: device })),
    });
  }

  async find(fleet: string, id: string): Promise<CaptureRow | null> {
    return this.database.prisma.capture.findUnique({
      where: { fleetId_id: { fleetId: fleet, id } },
      include: withDevices,
    });
  }

  async list(
    fleet: string,
    query: QueryOf<typeof api.captures.list>,
  ): Promise<{ items: CaptureRow[]; nextCursor: string | null }> {
    const after = readCursor(query.cursor, ['instant', 'text']);
    const rows = await this.database.prisma.capture.findMany({
      where: {
        fleetId: fleet,
        ...(query.status === undefined ? {} : { status: query.status }),
        ...(after ? { OR: [{ createdAt: { lt: after[0] } }, { createdAt: after[0], id: { lt: after[1] } }] } : {}),
      },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      take: query.limit + 1,
      include: withDevices,
    });
    return pageOfRows(rows, query.limit, (row) => [row.createdAt.toISOString(), row.id]);
  }

  /** What devices have answered to the capture's command, as the events say. */
  async answers(fleet: string, id: string): Promise<CommandAnswer[]> {
    const { rows } = await this.database.pool.query<CommandAnswer>(
      `SELECT subject AS device, data->>'status' AS status, data->>'message' AS message FROM events
        WHERE type = 'device.command-finished' AND data->>'command' = $2 AND fleet_id = $1`,
      [fleet, id],
    );
    return rows;
  }

  /** Takes an answer of a device that has not answered yet. */
  async answered(
    fleet: string,
    id: string,
    device: string,
    answer: { status: CaptureDeviceStatus; message: string | null; sentRows: number | null },
  ): Promise<void> {
    await this.database.prisma.captureDevice.updateMany({
      where: { fleetId: fleet, captureId: id, deviceId: device, status: 'PENDING' },
      data: { ...answer, rowsAt: new Date() },
    });
  }

  /** Samples that have arrived, where there are more by now. */
  async counted(fleet: string, id: string, device: string, rows: number): Promise<void> {
    await this.database.prisma.captureDevice.updateMany({
      where: { fleetId: fleet, captureId: id, deviceId: device, rows: { lt: rows } },
      data: { rows, rowsAt: new Date() },
    });
  }

  /**
   * Ends a capture; devices that have not answered are marked.
   *
   * @returns false where it has ended already
   */
  async end(
    tx: Transaction,
    fleet: string,
    id: string,
    status: 'COMPLETED' | 'FAILED' | 'CANCELED',
    dataset: string | null = null,
  ): Promise<boolean> {
    const { count } = await tx.capture.updateMany({
      where: { fleetId: fleet, id, status: 'RUNNING' },
      data: { status, datasetId: dataset, endedAt: new Date() },
    });
    if (count === 0) return false;
    await tx.captureDevice.updateMany({
      where: { fleetId: fleet, captureId: id, status: 'PENDING' },
      data: { status: status === 'CANCELED' ? 'CANCELED' : 'TIMED_OUT' },
    });
    return true;
  }

  /** Of all fleets: what the reconciler looks after. */
  async running(): Promise<{ fleet: string; id: string }[]> {
    const rows = await this.database.prisma.capture.findMany({
      where: { status: 'RUNNING' },
      select: { fleetId: true, id: true },
      orderBy: { createdAt: 'asc' },
      take: 1_000,
    });
    return rows.map((row) => ({ fleet: row.fleetId, id: row.id }));
  }
}

export function toCapture(row: CaptureRow): Capture {
  return {
    id: row.id,
    name: row.name,
    status: row.status as Capture['status'],
    pipeline: row.pipeline,
    durationMs: row.durationMs,
    devices: row.devices.map(({ deviceId, status, rows, message }) => ({
      device: deviceId,
      status: status as CaptureDeviceStatus,
      rows,
      message,
    })),
    dataset: row.datasetId,
    createdAt: row.createdAt.toISOString(),
    deadlineAt: row.deadlineAt.toISOString(),
    endedAt: row.endedAt?.toISOString() ?? null,
  };
}
