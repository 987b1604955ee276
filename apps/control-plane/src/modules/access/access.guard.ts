import { FLEET_HEADER, idSchema } from '@drover/contracts';
import type { Role } from '@drover/contracts';
import { InvalidInputError } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import type { CanActivate, ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Caller } from '../../platform/http/caller.ts';
import { routeOf } from '../../platform/http/endpoint.decorator.ts';
import { ForbiddenError, NotFoundError, UnauthenticatedError } from '../../platform/http/errors.ts';
import { ApiKeyService } from './api-key.service.ts';
import { FleetService } from './fleet.service.ts';

const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

export const DEFAULT_FLEET = 'default';

/** Global: every route of the contract needs a key with the access that the contract says. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly keys: ApiKeyService,
    private readonly fleets: FleetService,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const route = routeOf(context.getHandler());
    // Health, metrics and the API's own description are no routes of the contract; their controllers say who may see them.
    if (!route) return true;
    const request = context.switchToHttp().getRequest<FastifyRequest & { caller?: Caller }>();
    const caller = await this.identify(request);
    // Set first, so that the audit entry of a refused mutation says whose it was.
    request.caller = caller;
    if (
      route.access === 'instance' ? !caller.instance : route.access !== 'any' && RANK[caller.role] < RANK[route.access]
    ) {
      throw new ForbiddenError(
        `This needs ${route.access === 'instance' ? "the instance administrator's key" : `the role ${route.access}`}; this key has the role ${caller.role}.`,
      );
    }
    return true;
  }

  async identify(request: FastifyRequest): Promise<Caller> {
    const secret = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (secret === undefined) throw new UnauthenticatedError('Send an API key: "Authorization: Bearer drover_…".');
    const holder = await this.keys.authenticate(secret);
    if (!holder) throw new UnauthenticatedError('The API key is unknown, expired or revoked.');
    const named = request.headers[FLEET_HEADER];
    return {
      actor: `key:${holder.id}`,
      role: holder.role,
      instance: holder.fleet === null,
      fleet: await this.#fleetOf(holder.fleet, named),
    };
  }

  async #fleetOf(own: string | null, named: string | string[] | undefined): Promise<string> {
    if (own !== null) {
      if (named !== undefined && named !== own) throw new ForbiddenError(`This key belongs to the fleet "${own}".`);
      return own;
    }
    if (named === undefined) return DEFAULT_FLEET;
    const fleet = idSchema.safeParse(named);
    if (!fleet.success) throw new InvalidInputError(`The header ${FLEET_HEADER} must be the id of a fleet.`);
    if (!(await this.fleets.exists(fleet.data))) throw new NotFoundError(`There is no fleet "${fleet.data}".`);
    return fleet.data;
  }
}
