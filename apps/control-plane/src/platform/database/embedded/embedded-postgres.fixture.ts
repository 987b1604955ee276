/** For tests: a process that runs an embedded PostgreSQL on a data folder until SIGTERM. Prints `{...database, pid}` once it is ready. */
import { messageOf, silentLogger } from '@drover/runtime';
import { DataFolderLock } from './data-folder-lock.ts';
import { prepareDataFolder } from './data-folder.ts';
import { EmbeddedPostgres } from './embedded-postgres.ts';

const dataDir = await prepareDataFolder(process.argv[2] ?? '');
const lock = new DataFolderLock(dataDir);
const postgres = new EmbeddedPostgres({ dataDir, logger: silentLogger });
try {
  lock.acquire();
  const database = await postgres.start();
  process.stdout.write(`${JSON.stringify({ ...database, pid: postgres.pid })}\n`);
  process.once('SIGTERM', () => void postgres.stop().then(() => lock.release()));
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
