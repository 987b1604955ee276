import type { Fleet, PageQuery } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import type { Caller } from '../../platform/http/caller.ts';
import { ConflictError, NotFoundError } from '../../platform/http/errors.ts';
import { FleetRepository } from './fleet.repository.ts';

@Injectable()
export class FleetService {
  constructor(
    private readonly database: Database,
    private readonly fleets: FleetRepository,
    private readonly events: EventOutbox,
  ) {}

  async exists(fleet: string): Promise<boolean> {
    return (await this.fleets.find(fleet)) !== null;
  }

  list(caller: Caller, page: PageQuery): Promise<{ items: Fleet[]; nextCursor: string | null }> {
    return this.fleets.list(caller.instance ? null : caller.fleet, page);
  }

  /** @throws NotFoundError also for a fleet that the caller may not know of */
  async get(caller: Caller, id: string): Promise<Fleet> {
    const fleet = caller.instance || caller.fleet === id ? await this.fleets.find(id) : null;
    if (!fleet) throw new NotFoundError(`There is no fleet "${id}".`);
    return fleet;
  }

  /** @throws ConflictError */
  async create(id: string, name: string): Promise<Fleet> {
    return this.database.transaction(async (tx) => {
      const fleet = await this.fleets.create(tx, id, name);
      if (!fleet) throw new ConflictError(`There is a fleet "${id}" already.`);
      await this.events.append(tx, { fleet: id, type: 'fleet.created', subject: id });
      return fleet;
    });
  }

  /** The installation's row and its first fleet, made at the first start. */
  async ensureFirst(id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      await this.fleets.ensureInstance(tx);
      await this.fleets.create(tx, id, 'Default');
    });
  }
}
