/** A running postmaster: one that we spawned, or one that an earlier process of ours left behind. */
import { spawn } from 'node:child_process';
import { messageOf, sleep } from '@drover/runtime';
import type { Cluster } from './cluster.ts';
import { findProcesses, isChildOf, isPostmasterOf, viewProcess } from './process-table.ts';
import { serverEnvironment } from './server-environment.ts';
import type { ServerLog } from './server-log.ts';

const POLL_MS = 100;
/** After this, an orphan is stuck in the kernel; PostgreSQL itself will refuse to start beside it. */
const GIVE_UP_MS = 15_000;
/** How long the processes of a dead or quitting postmaster get before they are killed. */
const QUIT_MS = 5_000;

export interface ServerProcess {
  readonly pid: number;
  /** Not our child: left behind by another process. */
  readonly adopted: boolean;
  /** Resolves, and never rejects, when the postmaster has ended, with how. */
  readonly exited: Promise<string>;
}

/** Starts the postmaster in its own session, so that a Ctrl-C in our terminal does not reach it. Fails through `exited`. */
export async function spawnServer(
  cluster: Cluster,
  parameters: readonly string[],
  log: ServerLog,
): Promise<ServerProcess> {
  const output = await log.open();
  try {
    const child = spawn(cluster.postgres, parameters, {
      cwd: cluster.location,
      env: serverEnvironment(),
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
      ...(cluster.user.switched ? { uid: cluster.user.uid, gid: cluster.user.gid } : {}),
    });
    const exited = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(messageOf(error)));
      child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
    });
    return { pid: child.pid ?? -1, adopted: false, exited };
  } finally {
    await output.close();
  }
}

/** Takes over a live postmaster of this cluster. Its end is noticed by looking. */
export function adoptServer(cluster: Cluster, pid: number): ServerProcess {
  const watch = async (): Promise<string> => {
    while (isPostmasterOf(viewProcess(pid), cluster.dataFolder)) await sleep(POLL_MS);
    return 'ended';
  };
  return { pid, adopted: true, exited: watch() };
}

/**
 * Stops a server: fast shutdown (clients are disconnected, a checkpoint is written), after `timeoutMs` an immediate one (the next start
 * recovers), at last SIGKILL. On return no process of the cluster is left.
 */
export async function stopServer(server: ServerProcess, cluster: Cluster, timeoutMs: number): Promise<void> {
  for (const [signal, patienceMs] of [
    ['SIGINT', timeoutMs],
    ['SIGQUIT', QUIT_MS],
    ['SIGKILL', QUIT_MS],
  ] as const) {
    signalQuietly(server.pid, signal);
    if (await endsWithin(server.exited, patienceMs)) break;
  }
  await endOrphans(cluster);
}

/**
 * Ends what a dead postmaster left: a child busy in a long query does not notice, and holds the shared memory without which no new server
 * starts. Only to be called when the postmaster is gone.
 */
export async function endOrphans(cluster: Cluster): Promise<void> {
  const orphans = (): Promise<number[]> =>
    findProcesses((view) => isChildOf(view, cluster.name) || isPostmasterOf(view, cluster.dataFolder));
  const startedAt = performance.now();
  for (let left = await orphans(); left.length > 0; left = await orphans()) {
    const elapsedMs = performance.now() - startedAt;
    if (elapsedMs > GIVE_UP_MS) return;
    const signal = elapsedMs < QUIT_MS ? 'SIGQUIT' : 'SIGKILL';
    for (const pid of left) signalQuietly(pid, signal);
    await sleep(20);
  }
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  if (pid <= 0) return;
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended in the meantime, which is what we want.
  }
}

async function endsWithin(exited: Promise<string>, ms: number): Promise<boolean> {
  const patience = new AbortController();
  const timedOut = sleep(ms, patience.signal).then(
    () => false,
    () => true,
  );
  try {
    return await Promise.race([exited.then(() => true), timedOut]);
  } finally {
    patience.abort();
  }
}
