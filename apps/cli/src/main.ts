import { DroverError, messageOf } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import { Command } from 'commander';
import { apiCommands } from './api-commands.ts';
import { addArtifactCommands } from './artifact-commands.ts';
import { demoCommand } from './demo/demo-command.ts';
import { addBuildCommands } from './build-commands.ts';
import { addDatasetCommands } from './dataset-commands.ts';
import { addEventsCommand } from './events-command.ts';
import { addReleaseCommands } from './release-commands.ts';

const VERSION = '0.1.0';

const program = new Command('drover')
  .description('Rolls machine-learning models out to fleets of small computers and sees what they do there.')
  .version(VERSION)
  .addHelpText('after', '\nSet DROVER_API_URL and DROVER_API_KEY; every command takes --help and --json.');

program.addCommand(demoCommand());
// Half of the time of a start is ONNX Runtime and what trains, so only the commands that work here load them.
const [wanted] = process.argv.slice(2);
if (wanted === 'help' || wanted === 'backtest' || wanted === 'factory') {
  program.addCommand((await import('./local/backtest-command.ts')).backtestCommand());
  program.addCommand((await import('./local/factory-command.ts')).factoryCommand());
} else {
  program
    .command('backtest')
    .description('Run the detection path of the agent over recordings (CSV), without a server');
  program.command('factory').description('train, compress, evaluate, report and inspect, without a server');
}
/** Commands that no table of routes can say. */
const ADDITIONS: Readonly<Record<string, (group: Command) => void>> = {
  artifacts: addArtifactCommands,
  builds: addBuildCommands,
  datasets: addDatasetCommands,
  events: addEventsCommand,
  releases: addReleaseCommands,
};
for (const command of apiCommands()) {
  ADDITIONS[command.name()]?.(command);
  program.addCommand(command);
}

/** Also of commands that were added whole, which take nothing over: what was typed wrongly is the caller's, so it ends with 2. */
function endAsCaller(command: Command): void {
  command
    .showHelpAfterError('(--help tells what there is)')
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));
  for (const part of command.commands) endAsCaller(part);
}
endAsCaller(program);

/** Those that the message itself does not tell already. */
function problemsBeside({ message, problems }: DroverError): readonly FieldProblem[] {
  return problems.every((problem) => message.includes(problem.message)) ? [] : problems;
}

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`drover: ${messageOf(error)}\n`);
  if (error instanceof DroverError) {
    for (const problem of problemsBeside(error))
      process.stderr.write(`  ${problem.path === '' ? '(input)' : problem.path}: ${problem.message}\n`);
  } else if (error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = error instanceof DroverError && error.fault === 'caller' ? 2 : 1;
}
