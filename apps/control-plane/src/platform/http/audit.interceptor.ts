import { Injectable } from '@nestjs/common';
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { Observable, from, lastValueFrom } from 'rxjs';
import { Database } from '../database/database.ts';
import { auditContext } from './audit-context.ts';
import type { AuditContext } from './audit-context.ts';
import type { Caller } from './caller.ts';
import { routeOf } from './endpoint.decorator.ts';
import { problemOf } from './problem.ts';

/**
 * Every mutation leaves an audit entry: with its first transaction where it has one, else when it has ended; a refused or
 * failed one leaves an entry with its status.
 */
@Injectable()
export class AuditInterceptor implements NestInterceptor {
  constructor(private readonly database: Database) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const route = routeOf(context.getHandler());
    if (!route || route.method === 'GET') return next.handle();
    const request = context.switchToHttp().getRequest<FastifyRequest & { caller?: Caller }>();
    const entry: AuditContext = {
      fleet: request.caller?.fleet ?? null,
      actor: request.caller?.actor ?? 'anonymous',
      action: route.id,
      subject: request.url.split('?')[0]!,
      status: route.status,
      written: false,
    };
    return from(auditContext.run(entry, () => this.#run(entry, next)));
  }

  async #run(entry: AuditContext, next: CallHandler): Promise<unknown> {
    try {
      const result: unknown = await lastValueFrom(next.handle(), { defaultValue: undefined });
      if (!entry.written) await this.database.writeAudit(entry);
      return result;
    } catch (error) {
      if (!entry.written)
        await this.database.writeAudit({ ...entry, status: problemOf(error).status }).catch(() => undefined);
      throw error;
    }
  }
}
