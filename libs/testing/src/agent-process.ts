import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DeviceIdentity } from '@drover/device-protocol';
import { ChildProgram } from '@drover/runtime';
import type { ProgramExit } from '@drover/runtime';
import { ProgramStateError } from './control-plane-process.ts';
import { programEnvironment } from './program-environment.ts';

const PROGRAM = fileURLToPath(
  new URL(
    `${import.meta.url.endsWith('.ts') ? '' : '../'}../../../apps/edge-agent/bin/drover-agent.js`,
    import.meta.url,
  ),
);
const STOP_TIMEOUT_MS = 20_000;

export interface AgentOptions {
  readonly name: string;
  /** Of the device listener, and a token; needed for the first start only. */
  readonly url?: string;
  readonly token?: string;
  /** Everything else of the agent's configuration file. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** The real agent as a process of its own. */
export class AgentProcess {
  readonly name: string;
  readonly dataDir: string;
  readonly logFile: string;
  readonly #folder: string;
  readonly #options: AgentOptions;
  #program: ChildProgram | undefined;

  /** @param folder of its own; its data folder and configuration file are made inside */
  constructor(folder: string, options: AgentOptions) {
    this.name = options.name;
    this.dataDir = join(folder, 'data');
    this.logFile = join(folder, 'agent.log');
    this.#folder = folder;
    this.#options = options;
  }

  /** Starts it (again). It is ready when the control plane says so. */
  async start(): Promise<void> {
    if (this.#program?.running) throw new ProgramStateError(`${this.name} runs already.`);
    const { url, config } = this.#options;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const file = join(this.#folder, 'agent.json');
    const content = { ...(url === undefined ? {} : { url }), dataDir: this.dataDir, name: this.name, ...config };
    await writeFile(file, JSON.stringify(content, null, 2), { mode: 0o600 });
    this.#program = new ChildProgram({
      name: this.name,
      file: PROGRAM,
      args: ['--config', file],
      env: programEnvironment({
        DROVER_LOG_LEVEL: 'info',
        ...(this.#options.token === undefined ? {} : { DROVER_TOKEN: this.#options.token }),
      }),
      cwd: this.#folder,
      logFile: this.logFile,
    });
    await this.#program.start();
  }

  get running(): boolean {
    return this.#program?.running ?? false;
  }

  get pid(): number {
    return this.#requireProgram().pid;
  }

  get exited(): Promise<ProgramExit> {
    return this.#requireProgram().exited;
  }

  /** kill -9 */
  async kill(): Promise<void> {
    const program = this.#requireProgram();
    program.kill('SIGKILL');
    await program.exited;
  }

  async stop(): Promise<ProgramExit> {
    if (!this.#program) return { code: 0, signal: null };
    return this.#program.stop({ timeoutMs: STOP_TIMEOUT_MS });
  }

  /** What it was given at its enrolment. */
  async identity(): Promise<DeviceIdentity> {
    return JSON.parse(await readFile(join(this.dataDir, 'identity.json'), 'utf8')) as DeviceIdentity;
  }

  /** Gives it another identity, for its next start. */
  async setIdentity(identity: DeviceIdentity): Promise<void> {
    await writeFile(join(this.dataDir, 'identity.json'), JSON.stringify(identity), { mode: 0o600 });
  }

  /** Everything it has printed since it was first started. */
  log(): Promise<string> {
    return readFile(this.logFile, 'utf8');
  }

  tail = (): string => `--- the end of the log of ${this.name}:\n${this.#program?.outputTail.slice(-6_000) ?? ''}`;

  #requireProgram(): ChildProgram {
    if (!this.#program) throw new ProgramStateError(`${this.name} was not started.`);
    return this.#program;
  }
}
