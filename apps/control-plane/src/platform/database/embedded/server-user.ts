/** PostgreSQL refuses to run as root, so a control plane started by root runs its server as somebody else. */
import { readFile } from 'node:fs/promises';
import { DatabaseUserError } from './errors.ts';
import type { Identity } from './reachability.ts';

export interface ServerUser extends Identity {
  readonly name: string;
  /** True when the server has to be started as another user than ours. */
  readonly switched: boolean;
}

interface Account extends Identity {
  readonly name: string;
}

/** The accounts of a passwd file (`name:password:uid:gid:…` lines); other lines are skipped. */
export function parsePasswd(text: string): Account[] {
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    if (name === undefined || name === '' || !isId(uid) || !isId(gid)) return [];
    return [{ name, uid: Number(uid), gid: Number(gid) }];
  });
}

/**
 * Who runs the server: ourselves, unless we are root; then whoever owns the existing database (`owner`), or else the account
 * `postgres`, or else `nobody` (`initdb` needs an account that is in the passwd file).
 *
 * @throws DatabaseUserError as root when there is no such account
 */
export function chooseServerUser(
  self: Identity,
  accounts: readonly Account[],
  owner: Identity | undefined,
): ServerUser {
  const named = (who: Identity): string =>
    accounts.find((account) => account.uid === who.uid)?.name ?? `uid ${who.uid}`;
  if (self.uid !== 0) return { ...self, name: named(self), switched: false };
  if (owner !== undefined && owner.uid !== 0) return { ...owner, name: named(owner), switched: true };
  for (const name of ['postgres', 'nobody']) {
    const account = accounts.find((candidate) => candidate.name === name && candidate.uid !== 0);
    if (account !== undefined) return { ...account, switched: true };
  }
  throw new DatabaseUserError(
    'PostgreSQL does not run as root and this machine has neither a user "postgres" nor "nobody" to run it as. Add one ' +
      '(useradd --system postgres), start Drover as an ordinary user, or set DATABASE_URL to an existing PostgreSQL.',
  );
}

/** `chooseServerUser` on this machine. */
export async function serverUserOfThisMachine(owner: Identity | undefined): Promise<ServerUser> {
  const self = { uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 };
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return chooseServerUser(self, parsePasswd(passwd), owner);
}

function isId(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,10}$/.test(text);
}
