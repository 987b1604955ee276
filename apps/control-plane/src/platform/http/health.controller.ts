import { Controller, Get, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { Database } from '../database/database.ts';
import { Metrics } from '../metrics.ts';
import { Readiness } from '../readiness.ts';

const PING_TIMEOUT_MS = 2_000;

/** For probes and Prometheus. They say nothing of any fleet's data, so they need no key. */
@Controller()
export class HealthController {
  constructor(
    private readonly readiness: Readiness,
    private readonly database: Database,
    private readonly metrics: Metrics,
  ) {}

  /** The process runs. */
  @Get('livez')
  live(): { status: string } {
    return { status: 'ok' };
  }

  /** The process can do its work: 200, else 503 with what is missing. */
  @Get('readyz')
  async ready(@Res() reply: FastifyReply): Promise<void> {
    const answers = await this.#databaseAnswers();
    const ready = this.readiness.ready && answers;
    const parts = {
      ...this.readiness.parts,
      query: { ready: answers, detail: answers ? '' : 'the database does not answer' },
    };
    await reply.status(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready', parts });
  }

  @Get('metrics')
  async showMetrics(@Res() reply: FastifyReply): Promise<void> {
    await reply.header('content-type', this.metrics.registry.contentType).send(await this.metrics.registry.metrics());
  }

  async #databaseAnswers(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), PING_TIMEOUT_MS);
    });
    const ping = this.database.ping().then(
      () => true,
      () => false,
    );
    const answer = await Promise.race([ping, timeout]);
    clearTimeout(timer);
    return answer;
  }
}
