import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ChildProgram, OperationError } from '@drover/runtime';

/** A program of the demo ended by itself. */
export class DemoProgramEndedError extends OperationError {}

export interface ControlPlaneAddress {
  readonly apiUrl: string;
  readonly adminKey: string;
  readonly listeners: Readonly<Record<string, string>>;
}

export interface AgentSpec {
  readonly name: string;
  readonly profile: string | undefined;
  readonly sensors: Readonly<Record<string, object>>;
}

const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;

/** Programs of other packages are started, never imported. */
const program = (app: string, bin: string): string =>
  fileURLToPath(new URL(`../../../${app}/bin/${bin}.js`, import.meta.url));

/** A control plane and agents as separate processes in a throw-away folder. */
export class DemoPrograms {
  #folder: string | undefined;
  readonly #running: ChildProgram[] = [];
  #stopping: Promise<void> | undefined;
  #onEnd: (error: DemoProgramEndedError) => void = () => undefined;

  /** Rejects as soon as one of the programs ends by itself. */
  readonly ended: Promise<never> = new Promise((_, reject) => {
    this.#onEnd = reject;
  });

  constructor() {
    // Nobody has to listen for it.
    this.ended.catch(() => undefined);
  }

  get folder(): string {
    return this.#folder!;
  }

  async start(): Promise<ControlPlaneAddress> {
    this.#folder = await mkdtemp(join(tmpdir(), 'drover-demo-'));
    // PostgreSQL runs as another user where this is root's: it must be able to pass through.
    await chmod(this.#folder, 0o711);
    const controlPlane = await this.#run(
      'control-plane',
      program('control-plane', 'drover-control-plane'),
      ['--json'],
      {
        DROVER_DATA_DIR: join(this.#folder, 'control-plane'),
        DROVER_HTTP_PORT: '0',
        DROVER_DEVICE_HOST: '127.0.0.1',
        DROVER_DEVICE_HTTPS_PORT: '0',
        DROVER_MQTT_PORT: '0',
        DROVER_EVENTS_MQTT_PORT: '0',
        DROVER_PUBLIC_HOSTS: '127.0.0.1,localhost',
        DROVER_RECONCILE_EVERY: '1s',
      },
    );
    const ready = await controlPlane.readLine((line) => {
      const parsed = tryParse(line) as
        | { ready?: boolean; listeners?: Record<string, string>; adminKey?: string }
        | undefined;
      return parsed?.ready ? parsed : undefined;
    }, START_TIMEOUT_MS);
    return { apiUrl: ready.listeners!.api!, adminKey: ready.adminKey!, listeners: ready.listeners! };
  }

  async startAgent(agent: AgentSpec, url: string, token: string): Promise<void> {
    const folder = join(this.folder, agent.name);
    await mkdir(folder, { mode: 0o700 });
    const config = {
      url,
      dataDir: join(folder, 'data'),
      name: agent.name,
      sensors: agent.sensors,
      ...(agent.profile === undefined ? {} : { profile: agent.profile }),
    };
    await writeFile(join(folder, 'agent.json'), JSON.stringify(config, null, 2), { mode: 0o600 });
    await this.#run(agent.name, program('edge-agent', 'drover-agent'), ['--config', join(folder, 'agent.json')], {
      DROVER_TOKEN: token,
    });
  }

  /** Stops the agents, then the control plane, and removes the folder. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const [controlPlane, ...agents] = this.#running;
    await Promise.all(agents.map((agent) => agent.stop({ timeoutMs: STOP_TIMEOUT_MS })));
    await controlPlane?.stop({ timeoutMs: STOP_TIMEOUT_MS });
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
  }

  async #run(name: string, file: string, args: string[], env: Record<string, string>): Promise<ChildProgram> {
    const child = new ChildProgram({
      name,
      file,
      args,
      env: { ...withoutDroverVariables(process.env), DROVER_LOG_LEVEL: 'warn', ...env },
      cwd: this.folder,
    });
    this.#running.push(child);
    await child.start();
    void child.exited.then(({ code, signal }) => {
      if (this.#stopping) return;
      this.#onEnd(
        new DemoProgramEndedError(`${name} ended by itself (${signal ?? `exit code ${code}`}):\n${child.stderrTail}`),
      );
    });
    return child;
  }
}

/** The demo is the same whatever the person who starts it has configured for other purposes. */
function withoutDroverVariables(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept = Object.entries(env).filter(
    ([name, value]) =>
      value !== undefined && !name.startsWith('DROVER_') && name !== 'DATABASE_URL' && name !== 'REDIS_URL',
  );
  return Object.fromEntries(kept) as Record<string, string>;
}

function tryParse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // Some other line.
    return undefined;
  }
}
