/**
 * Tells the fleet that the database was restored: raises the instance's epoch, so that what the restored database says is newer
 * than what devices have seen since the backup, and has every desired state signed and sent again. Run it once, while the
 * control plane runs on the restored data.
 *
 *     DROVER_DATA_DIR=… node tools/after-restore.ts       (DATABASE_URL for an external PostgreSQL)
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { raiseEpoch } from '../apps/control-plane/src/platform/database/raise-epoch.ts';
import { messageOf } from '../libs/runtime/index.ts';

/** The embedded server of a data folder, or the one that DATABASE_URL names. */
async function connectionOf(env: NodeJS.ProcessEnv): Promise<pg.ClientConfig> {
  if (env['DATABASE_URL']) return { connectionString: env['DATABASE_URL'] };
  const dataDir = env['DROVER_DATA_DIR'] ?? '.drover';
  const pointer = await readFile(join(dataDir, 'postgres.location'), 'utf8').catch(() => undefined);
  const folder = pointer === undefined ? join(dataDir, 'postgres') : (JSON.parse(pointer) as { folder: string }).folder;
  // Line 5 of the pid file of the server: where its socket is.
  const postmaster = await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8');
  const password = await readFile(join(dataDir, 'postgres.password'), 'utf8');
  return { host: postmaster.split('\n')[4]!, user: 'drover', database: 'drover', password: password.trim() };
}

try {
  const client = new pg.Client(await connectionOf(process.env));
  await client.connect();
  const epoch = await raiseEpoch(client);
  await client.end();
  console.log(`The epoch is ${epoch} now; devices take what the restored database says.`);
} catch (error) {
  console.error(`The epoch was not raised: ${messageOf(error)}. Does the control plane run on this data folder?`);
  process.exitCode = 1;
}
