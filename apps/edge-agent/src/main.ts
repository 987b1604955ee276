import { createLogger, messageOf } from '@drover/runtime';
import { Agent } from './agent.ts';
import { USAGE, parseCommandLine } from './config/command-line.ts';
import { loadAgentConfig } from './config/load-agent-config.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { AGENT_VERSION } from './version.ts';

export interface MainParts {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts when the process shall end in order. */
  readonly signal: AbortSignal;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly workerUrl?: URL | undefined;
}

/** The program without its process. @returns the exit code */
export async function main({ args, env, signal, out, err, workerUrl }: MainParts): Promise<number> {
  try {
    const line = parseCommandLine(args);
    if (line.command === 'help') {
      out(USAGE);
      return EXIT.ok;
    }
    if (line.command === 'version') {
      out(`drover-agent ${AGENT_VERSION}\n`);
      return EXIT.ok;
    }
    const config = await loadAgentConfig(line.config, env);
    const agent = new Agent({ config, logger: createLogger('drover-agent', config.logLevel), workerUrl });
    if (line.command === 'enrol') await agent.enrol(line.again, signal);
    else await agent.run(signal);
    return EXIT.ok;
  } catch (error) {
    // Asked to stop while it was still waiting for something.
    if (signal.aborted && error === signal.reason) return EXIT.ok;
    err(`drover-agent: ${messageOf(error)}\n`);
    return exitCodeOf(error);
  }
}
