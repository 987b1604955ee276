import { enrolRequestSchema, renewRequestSchema } from '@drover/contracts';
import { CallerError, InvalidInputError, problemsOf } from '@drover/runtime';
import type { Clock } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { OnModuleInit } from '@nestjs/common';
import type { Counter } from 'prom-client';
import type { z } from 'zod';
import { DeviceRoutes } from '../../platform/http/device-listener.ts';
import type { DeviceRequest } from '../../platform/http/device-listener.ts';
import { Metrics } from '../../platform/metrics.ts';
import { CLOCK } from './clock.ts';
import { EnrolmentService } from './enrolment.service.ts';
import { TooManyAttemptsError } from './errors.ts';
import { FailedAttempts } from './listener/failed-attempts.ts';

const MAX_BODY_BYTES = 64 * 2 ** 10;

/** `POST /enrol` and `POST /renew` on the devices' HTTPS listener. */
@Injectable()
export class EnrolmentRoutes implements OnModuleInit {
  readonly #attempts: FailedAttempts;
  readonly #outcomes: Counter<'outcome'>;

  constructor(
    private readonly routes: DeviceRoutes,
    private readonly enrolment: EnrolmentService,
    metrics: Metrics,
    @Inject(CLOCK) clock: Clock,
  ) {
    this.#attempts = new FailedAttempts(clock);
    this.#outcomes = metrics.counter('enrolments_total', 'Attempts to enrol by outcome: ok, or the code of the error', [
      'outcome',
    ]);
  }

  onModuleInit(): void {
    const maxBodyBytes = MAX_BODY_BYTES;
    this.routes.register({
      method: 'POST',
      path: '/enrol',
      authenticated: false,
      maxBodyBytes,
      handle: (request) => this.#enrol(request),
    });
    this.routes.register({
      method: 'POST',
      path: '/renew',
      authenticated: true,
      maxBodyBytes,
      handle: async ({ principal, body }) => {
        const { csr, profile } = parse(renewRequestSchema, body);
        return this.enrolment.renew(principal!, csr, profile);
      },
    });
  }

  async #enrol({ raw, body }: DeviceRequest): Promise<object> {
    const address = raw.socket.remoteAddress ?? '';
    try {
      const waitMs = this.#attempts.waitMs(address);
      if (waitMs > 0) {
        const seconds = Math.ceil(waitMs / 1_000);
        throw new TooManyAttemptsError(`Too many failed attempts from ${address}; wait ${seconds} s.`, seconds);
      }
      const answer = await this.enrolment.enrol(parse(enrolRequestSchema, body));
      this.#outcomes.inc({ outcome: 'ok' });
      return answer;
    } catch (error) {
      const caller = error instanceof CallerError;
      this.#outcomes.inc({ outcome: caller ? error.code : 'internal' });
      if (caller && !(error instanceof TooManyAttemptsError)) this.#attempts.failed(address);
      throw error;
    }
  }
}

/** @throws InvalidInputError with every problem */
function parse<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const problems = problemsOf(parsed.error);
  throw new InvalidInputError(problems.map((p) => `${p.path || 'body'}: ${p.message}`).join('; '), { problems });
}
