import { DroverError, messageOf } from '@drover/runtime';
import { Command } from 'commander';
import { apiCommands } from './api-commands.ts';
import { addArtifactCommands } from './artifact-commands.ts';
import { demoCommand } from './demo/demo-command.ts';
import { addEventsCommand } from './events-command.ts';
import { backtestCommand } from './local/backtest-command.ts';
import { factoryCommand } from './local/factory-command.ts';

const VERSION = '0.1.0';

const program = new Command('drover')
  .description('Rolls machine-learning models out to fleets of small computers and sees what they do there.')
  .version(VERSION)
  .showHelpAfterError()
  .addHelpText('after', '\nSet DROVER_API_URL and DROVER_API_KEY; every command takes --help and --json.');

program.addCommand(demoCommand());
program.addCommand(backtestCommand());
program.addCommand(factoryCommand());
for (const command of apiCommands()) {
  if (command.name() === 'artifacts') addArtifactCommands(command);
  if (command.name() === 'events') addEventsCommand(command);
  program.addCommand(command);
}

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`drover: ${messageOf(error)}\n`);
  if (error instanceof DroverError) {
    for (const problem of error.problems)
      process.stderr.write(`  ${problem.path === '' ? '(input)' : problem.path}: ${problem.message}\n`);
  } else if (error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = error instanceof DroverError && error.fault === 'caller' ? 2 : 1;
}
