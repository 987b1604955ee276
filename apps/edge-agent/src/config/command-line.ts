import { parseArgs } from 'node:util';
import { CallerError, messageOf } from '@drover/runtime';
import type { ConfigArguments } from './load-agent-config.ts';
import { BOARD_NAMES } from '../identity/boards.ts';

/** The command line is not one that the agent understands. */
export class InvalidUsageError extends CallerError {}

export type CommandLine =
  | { readonly command: 'help' }
  | { readonly command: 'version' }
  | { readonly command: 'run'; readonly config: ConfigArguments }
  | { readonly command: 'enrol'; readonly config: ConfigArguments; readonly again: boolean };

export const USAGE = `drover-agent: detects anomalies on this machine and takes models from a Drover control plane

Usage
  drover-agent [run]   [--config file.json] [--profile board] [--url https://host:8443] [--token drover1.…]
  drover-agent enrol   the same, with --re-enrol to replace an identity; ends when the device is enrolled
  drover-agent --help | --version

Options
  --config FILE    configuration in JSON (DROVER_AGENT_CONFIG)
  --url URL        device listener of the control plane, first start only (DROVER_URL)
  --token TOKEN    enrolment token, first start only (DROVER_TOKEN)
  --profile BOARD  pretend to be another board, for trials (DROVER_PROFILE): ${BOARD_NAMES.join(', ')}
  --re-enrol       with "enrol": get a new identity although there is one

Further environment
  DROVER_AGENT_DATA_DIR  where identity, models and unsent messages are kept (./.drover-agent)
  DROVER_AGENT_NAME      name that people see
  DROVER_AGENT_TAGS      site=north,line=2
  DROVER_LOG_LEVEL       debug, info, warn, error, silent

Exit codes
  0 stopped as asked   64 usage   69 the control plane refused or is not to be trusted   73 data folder
  78 configuration, or not enrolled and no token   79 decommissioned   1 anything else
`;

/** @throws InvalidUsageError */
export function parseCommandLine(args: readonly string[]): CommandLine {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        config: { type: 'string' },
        url: { type: 'string' },
        token: { type: 'string' },
        profile: { type: 'string' },
        're-enrol': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new InvalidUsageError(`${messageOf(error)} (see drover-agent --help)`, { cause: error });
  }
  const { values, positionals } = parsed;
  if (values.help === true) return { command: 'help' };
  if (values.version === true) return { command: 'version' };
  const [command = 'run', ...rest] = positionals;
  if (rest.length > 0 || (command !== 'run' && command !== 'enrol')) {
    throw new InvalidUsageError(`"${positionals.join(' ')}" is no command (see drover-agent --help)`);
  }
  const { config, url, token, profile } = values;
  const again = values['re-enrol'] === true;
  if (command === 'enrol') return { command, config: { config, url, token, profile }, again };
  if (again) throw new InvalidUsageError('--re-enrol goes with the command "enrol" (see drover-agent --help)');
  return { command, config: { config, url, token, profile } };
}
