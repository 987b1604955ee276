import { Command } from 'commander';
import { compressCommand } from './compress-command.ts';
import { evaluateCommand } from './evaluate-command.ts';
import { inspectCommand } from './inspect-command.ts';
import { reportCommand } from './report-command.ts';
import { trainCommand } from './train-command.ts';

/** `drover factory`: what the control plane's workers do, on this machine and without a server. */
export function factoryCommand(): Command {
  return new Command('factory')
    .description('train, compress, evaluate, report and inspect on this machine, without a control plane')
    .addCommand(trainCommand())
    .addCommand(compressCommand())
    .addCommand(evaluateCommand())
    .addCommand(reportCommand())
    .addCommand(inspectCommand());
}
