/** Generates the Prisma client from `prisma/schema.prisma`, offline: no engine is downloaded and none is needed. */
import { execFileSync } from 'node:child_process';

execFileSync('node_modules/.bin/prisma', ['generate', '--no-hints'], {
  stdio: ['ignore', 'ignore', 'inherit'],
  // `prisma generate` looks for a schema engine that it does not use; any executable satisfies it.
  env: {
    ...process.env,
    PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
    CHECKPOINT_DISABLE: '1',
  },
});
