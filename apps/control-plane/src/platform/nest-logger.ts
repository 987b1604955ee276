import type { Logger } from '@drover/runtime';
import type { LoggerService } from '@nestjs/common';

/** Nest's own messages in our log; its start-up chatter only where debugging. */
export function nestLogger(logger: Logger): LoggerService {
  const nest = logger.child({ part: 'nest' });
  return {
    log: (message: unknown) => nest.debug({}, String(message)),
    debug: (message: unknown) => nest.debug({}, String(message)),
    verbose: (message: unknown) => nest.debug({}, String(message)),
    warn: (message: unknown) => nest.warn({}, String(message)),
    error: (message: unknown, stack?: unknown) => nest.error({ stack }, String(message)),
    fatal: (message: unknown) => nest.error({}, String(message)),
  };
}
