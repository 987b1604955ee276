import { RequestRefusedError, ServerUntrustedError, InvalidTokenError } from '@drover/device-protocol';
import { InvalidConfigError } from '@drover/runtime';
import { InvalidUsageError } from './config/command-line.ts';
import { DataFolderInUseError, DataFolderUnusableError } from './data-folder.ts';
import { EnrolmentImpossibleError } from './identity/enrolment.service.ts';
import { DecommissionedError } from './identity/identity.store.ts';

/** After sysexits.h, which service managers know; 79 is the first that it leaves free. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 64,
  refused: 69,
  dataFolder: 73,
  config: 78,
  decommissioned: 79,
} as const;

export function exitCodeOf(error: unknown): number {
  if (error instanceof InvalidUsageError) return EXIT.usage;
  if (error instanceof InvalidConfigError || error instanceof EnrolmentImpossibleError) return EXIT.config;
  if (error instanceof InvalidTokenError) return EXIT.config;
  if (error instanceof RequestRefusedError || error instanceof ServerUntrustedError) return EXIT.refused;
  if (error instanceof DataFolderUnusableError || error instanceof DataFolderInUseError) return EXIT.dataFolder;
  if (error instanceof DecommissionedError) return EXIT.decommissioned;
  return EXIT.failure;
}
