import { DroverClient } from '@drover/client';
import { InvalidConfigError } from '@drover/runtime';
import type { Command } from 'commander';

/** Options that every command which talks to a control plane has. */
export interface ConnectionOptions {
  readonly url: string;
  readonly key?: string;
  readonly fleet?: string;
  readonly json?: boolean;
}

export function addConnectionOptions(program: Command): Command {
  return program
    .option(
      '--url <url>',
      'REST API of the control plane (DROVER_API_URL)',
      process.env.DROVER_API_URL ?? 'http://127.0.0.1:8080',
    )
    .option('--key <key>', 'API key; better given as DROVER_API_KEY, which the process list does not show')
    .option(
      '--fleet <id>',
      "fleet to act in, for the instance administrator's key (DROVER_FLEET)",
      process.env.DROVER_FLEET,
    )
    .option('--json', 'print JSON');
}

/** @throws InvalidConfigError where no key is given */
export function connect(options: ConnectionOptions): DroverClient {
  const apiKey = options.key ?? process.env.DROVER_API_KEY;
  if (apiKey === undefined || apiKey === '') {
    throw new InvalidConfigError(
      'No API key. Set DROVER_API_KEY to the key that the control plane printed at its first start, or to one made with "drover api-keys create".',
    );
  }
  return new DroverClient({
    url: options.url,
    apiKey,
    ...(options.fleet === undefined ? {} : { fleet: options.fleet }),
  });
}
