import type { BodyOf, Model, PageQuery, api } from '@drover/contracts';
import { newId } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { ConflictError, NotFoundError } from '../../platform/http/errors.ts';
import { ModelRepository } from './model.repository.ts';

@Injectable()
export class ModelService {
  constructor(
    private readonly database: Database,
    private readonly models: ModelRepository,
    private readonly events: EventOutbox,
  ) {}

  list(fleet: string, page: PageQuery): Promise<{ items: Model[]; nextCursor: string | null }> {
    return this.models.list(fleet, page);
  }

  /** @throws NotFoundError */
  async get(fleet: string, id: string): Promise<Model> {
    const model = await this.models.find(fleet, id);
    if (!model) throw NotFoundError.of('model', id);
    return model;
  }

  /** @throws ConflictError */
  async create(fleet: string, input: BodyOf<typeof api.models.create>): Promise<Model> {
    const id = input.id ?? newId('mdl');
    return this.database.transaction(async (tx) => {
      const model = await this.models.create(tx, fleet, { id, name: input.name, description: input.description });
      if (!model) throw new ConflictError(`There is a model "${id}" already.`);
      await this.events.append(tx, { fleet, type: 'model.created', subject: id });
      return model;
    });
  }
}
