import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DroverClient } from '@drover/client';
import { ChildProgram, OperationError } from '@drover/runtime';
import type { ProgramExit } from '@drover/runtime';
import { Client } from 'pg';
import { programEnvironment } from './program-environment.ts';

/** A program under test is not in the state that a test needs it in. */
export class ProgramStateError extends OperationError {}

const PROGRAM = fileURLToPath(
  new URL(
    `${import.meta.url.endsWith('.ts') ? '' : '../'}../../../apps/control-plane/bin/drover-control-plane.js`,
    import.meta.url,
  ),
);
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const PORT_VARIABLES = {
  api: 'DROVER_HTTP_PORT',
  'device-https': 'DROVER_DEVICE_HTTPS_PORT',
  'device-mqtt': 'DROVER_MQTT_PORT',
  'events-mqtt': 'DROVER_EVENTS_MQTT_PORT',
} as const;

interface Ready {
  readonly listeners: Readonly<Record<string, string>>;
  readonly adminKey?: string;
}

/** The real control plane as a process of its own, on free ports that stay the same when it is started again. */
export class ControlPlaneProcess {
  readonly dataDir: string;
  readonly logFile: string;
  readonly #env: Record<string, string>;
  #ports: Record<string, string> = Object.fromEntries(Object.values(PORT_VARIABLES).map((name) => [name, '0']));
  #program: ChildProgram | undefined;
  #ready: Ready | undefined;
  #adminKey: string | undefined;

  /** @param folder of its own; the data folder is made inside */
  constructor(folder: string, env: Readonly<Record<string, string>> = {}) {
    this.dataDir = join(folder, 'control-plane');
    this.logFile = join(folder, 'control-plane.log');
    this.#env = {
      DROVER_DEVICE_HOST: '127.0.0.1',
      DROVER_PUBLIC_HOSTS: 'localhost,127.0.0.1',
      DROVER_RECONCILE_EVERY: '500ms',
      DROVER_LOG_LEVEL: 'info',
      ...env,
    };
  }

  /** Starts it and waits until everything listens. The ports of the first start are kept. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.#program?.running) throw new ProgramStateError('The control plane runs already.');
    this.#program = this.newProgram(env);
    await this.#program.start();
    const ready = await this.#program.readLine(readyOf, START_TIMEOUT_MS);
    this.#ready = ready;
    this.#adminKey ??= ready.adminKey;
    for (const [listener, variable] of Object.entries(PORT_VARIABLES)) {
      const url = ready.listeners[listener];
      if (url !== undefined) this.#ports[variable] = new URL(url).port;
    }
  }

  /** The program as it would be started next, not started: for starts that must fail. */
  newProgram(env: Readonly<Record<string, string>> = {}): ChildProgram {
    return new ChildProgram({
      name: 'the control plane',
      file: PROGRAM,
      args: ['--json'],
      env: programEnvironment({ ...this.#env, ...this.#ports, DROVER_DATA_DIR: this.dataDir, ...env }),
      logFile: this.logFile,
    });
  }

  get listeners(): Readonly<Record<string, string>> {
    return this.#requireReady().listeners;
  }

  get url(): string {
    return this.listeners.api!;
  }

  /** Of the very first start. */
  get adminKey(): string {
    if (this.#adminKey === undefined) throw new ProgramStateError('The first start printed no key.');
    return this.#adminKey;
  }

  get pid(): number {
    return this.#requireProgram().pid;
  }

  get running(): boolean {
    return this.#program?.running ?? false;
  }

  /** As the instance administrator, or with another key. */
  client(options: { readonly fleet?: string; readonly apiKey?: string } = {}): DroverClient {
    return new DroverClient({ url: this.url, apiKey: this.adminKey, ...options });
  }

  /** The end of what it printed. */
  tail = (): string => `--- the end of the control plane's log:\n${this.#program?.outputTail.slice(-6_000) ?? ''}`;

  /** kill -9. Its PostgreSQL goes on running, as it would when a machine's memory runs out. */
  async kill(): Promise<void> {
    const program = this.#requireProgram();
    program.kill('SIGKILL');
    await program.exited;
  }

  /** SIGTERM, in order. */
  async stop(): Promise<ProgramExit> {
    if (!this.#program) return { code: 0, signal: null };
    return this.#program.stop({ timeoutMs: STOP_TIMEOUT_MS });
  }

  /** The process id of its PostgreSQL. */
  async databasePid(): Promise<number> {
    const [pid] = await this.#postmasterFile();
    return Number(pid);
  }

  /** Asks its PostgreSQL directly, on a connection of its own. */
  async query<Row extends object>(sql: string, parameters: readonly unknown[] = []): Promise<Row[]> {
    const [, , , , socketFolder] = await this.#postmasterFile();
    const password = (await readFile(join(this.dataDir, 'postgres.password'), 'utf8')).trim();
    const client = new Client({ host: socketFolder!, user: 'drover', database: 'drover', password });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Row>(sql, [...parameters])).rows;
    } finally {
      await client.end();
    }
  }

  /** Where its PostgreSQL lies: elsewhere than in the data folder where the server's user could not reach that. */
  async databaseFolder(): Promise<string> {
    const pointer = join(this.dataDir, 'postgres.location');
    if (!existsSync(pointer)) return join(this.dataDir, 'postgres');
    return (JSON.parse(await readFile(pointer, 'utf8')) as { folder: string }).folder;
  }

  /** Its lines are described in PostgreSQL's manual under "Database File Layout": pid, folder, start, port, socket folder. */
  async #postmasterFile(): Promise<string[]> {
    return (await readFile(join(await this.databaseFolder(), 'data', 'postmaster.pid'), 'utf8')).split('\n');
  }

  #requireProgram(): ChildProgram {
    if (!this.#program) throw new ProgramStateError('The control plane was not started.');
    return this.#program;
  }

  #requireReady(): Ready {
    if (!this.#ready) throw new ProgramStateError('The control plane was not started.');
    return this.#ready;
  }
}

function readyOf(line: string): Ready | undefined {
  if (!line.startsWith('{"ready"')) return undefined;
  const parsed = JSON.parse(line) as Ready & { ready: boolean };
  return parsed.ready ? parsed : undefined;
}
