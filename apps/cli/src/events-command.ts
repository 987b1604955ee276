import type { Command } from 'commander';
import { addConnectionOptions, connect } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';

/** `drover events follow`: one line per event until Ctrl-C. */
export function addEventsCommand(events: Command): void {
  addConnectionOptions(
    events
      .command('follow')
      .description('Show events as they happen')
      .option('--types <types>', 'comma-separated; a trailing * matches a family: rollout.*')
      .option('--after <id>', 'begin after this event; 0 begins with the oldest'),
  ).action(async (options: ConnectionOptions & { types?: string; after?: string }) => {
    const stop = new AbortController();
    process.once('SIGINT', () => stop.abort());
    const { types, after } = options;
    for await (const event of connect(options).events({
      signal: stop.signal,
      ...(types === undefined ? {} : { types }),
      ...(after === undefined ? {} : { after }),
    })) {
      const line = options.json
        ? JSON.stringify(event)
        : `${event.at}  ${event.type.padEnd(24)}${event.subject}  ${JSON.stringify(event.data)}`;
      process.stdout.write(`${line}\n`);
    }
  });
}
