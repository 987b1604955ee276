import type { Problem } from '@drover/contracts';
import { Catch } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import type { Logger } from '@drover/runtime';
import { messageOf } from '@drover/runtime';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { databaseReason } from '../database/database-faults.ts';
import type { Metrics } from '../metrics.ts';
import { problemOf } from './problem.ts';

export function sendProblem(reply: FastifyReply, problem: Problem): void {
  if (problem.status === 401) void reply.header('www-authenticate', 'Bearer');
  void reply.status(problem.status).header('content-type', 'application/problem+json').send(JSON.stringify(problem));
}

/** Every error of the REST API leaves as `application/problem+json`. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #problems;

  constructor(
    private readonly logger: Logger,
    metrics: Metrics,
  ) {
    this.#problems = metrics.counter('http_problems_total', 'Requests answered with a problem document', [
      'status',
      'code',
    ]);
  }

  catch(thrown: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const problem = problemOf(thrown, request.url.split('?')[0]);
    this.#problems.inc({ status: String(problem.status), code: problem.code });
    const about = { url: problem.instance, code: problem.code };
    // Nobody's mistake, and told by whoever is away: no need for a stack with every request meanwhile.
    if (problem.status === 503)
      this.logger.warn({ ...about, err: databaseReason(thrown) }, 'A request could not be served');
    else if (problem.status >= 500) this.logger.error({ ...about, err: thrown }, messageOf(thrown));
    if (reply.sent) return;
    sendProblem(reply, problem);
  }
}
