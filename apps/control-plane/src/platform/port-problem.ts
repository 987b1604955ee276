import { OperationError } from '@drover/runtime';

/** A port that is taken, or may not be bound. */
export class PortUnavailableError extends OperationError {}

/** Says which setting to change where a listener can't be opened. */
export function portProblem(error: unknown, setting: string, host: string, port: number): Error {
  const code = (error as NodeJS.ErrnoException).code;
  const remedy = `Choose another with ${setting} (0 picks a free one).`;
  if (code === 'EADDRINUSE')
    return new PortUnavailableError(`Port ${port} on ${host} is taken. ${remedy}`, { cause: error });
  if (code === 'EACCES')
    return new PortUnavailableError(`Port ${port} may not be opened by this user. ${remedy}`, { cause: error });
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return new PortUnavailableError(
      `This machine has no address ${host}. Change the host that belongs to ${setting}.`,
      { cause: error },
    );
  return error as Error;
}
