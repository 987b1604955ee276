import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { messageOf } from '@drover/runtime';
import { DatabaseInitError } from './errors.ts';
import { serverEnvironment } from './server-environment.ts';
import type { ServerUser } from './server-user.ts';

export interface InitdbRequest {
  readonly initdb: string;
  readonly user: ServerUser;
  /** A folder of that user; the cluster goes to `data` in it. */
  readonly folder: string;
  readonly superuser: string;
  /** Readable by that user. */
  readonly passwordFile: string;
}

/**
 * Makes an empty cluster: UTF-8, code point order that no update of the system's libraries can change, checksums on every page,
 * passwords everywhere. All of it is on disk on return.
 *
 * @throws DatabaseInitError with what `initdb` said; the signal's reason when aborted
 */
export async function runInitdb(request: InitdbRequest, signal: AbortSignal): Promise<void> {
  const { initdb, user, folder, superuser, passwordFile } = request;
  const output: string[] = [];
  const options = {
    pgdata: join(folder, 'data'),
    username: superuser,
    pwfile: passwordFile,
    auth: 'scram-sha-256',
    encoding: 'UTF8',
    'locale-provider': 'builtin',
    'builtin-locale': 'C.UTF-8',
  };
  const flags = ['--no-locale', '--data-checksums', '--no-instructions'];
  const parameters = [...Object.entries(options).map(([name, value]) => `--${name}=${value}`), ...flags];
  const result = await new Promise<string | undefined>((resolve) => {
    const child = spawn(initdb, parameters, {
      cwd: folder,
      env: serverEnvironment(),
      // Its own process group: Ctrl-C is for us, and an abort reaches its children too.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(user.switched ? { uid: user.uid, gid: user.gid } : {}),
    });
    const onAbort = (): void => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    };
    const finish = (failure: string | undefined): void => {
      signal.removeEventListener('abort', onAbort);
      resolve(failure);
    };
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => output.push(text));
    child.once('error', (error) => finish(messageOf(error)));
    child.once('close', (code, killedBy) => finish(code === 0 ? undefined : `exit ${code ?? killedBy}`));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  signal.throwIfAborted();
  if (result === undefined) return;
  const said = output.join('').trim().split('\n').slice(-6).join('\n');
  throw new DatabaseInitError(
    `The database could not be initialised in ${folder} as user ${user.name} (${result}). initdb said:\n${said}\n` +
      `Check free space and permissions there, or set DATABASE_URL to an existing PostgreSQL.`,
  );
}
