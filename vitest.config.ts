import { defaultServerConditions } from 'vite';
import { defineConfig } from 'vitest/config';

// Packages are resolved to their sources, so a test never runs against a stale build; whole-system tests start the
// built programs, which `npm test` builds first.
const conditions = ['source', ...defaultServerConditions];
const common = { resolve: { conditions }, ssr: { resolve: { conditions } } };
const never = ['**/node_modules/**', '**/dist/**'];
/** One PostgreSQL for all files that need one. */
const globalSetup = ['apps/control-plane/src/platform/database/test-postgres.setup.ts'];

export default defineConfig({
  test: {
    projects: [
      {
        ...common,
        test: {
          name: 'unit',
          globalSetup,
          include: ['{apps,libs,bench,tools}/**/*.spec.ts'],
          exclude: [...never, '**/*.long.spec.ts'],
          pool: 'forks',
          // Most tests wait for a database, a broker or a process more than they compute.
          maxWorkers: '100%',
          sequence: { groupOrder: 0 },
          testTimeout: 20_000,
          hookTimeout: 60_000,
        },
      },
      {
        ...common,
        test: {
          name: 'system',
          include: ['test/**/*.spec.ts'],
          exclude: [...never, 'test/long/**'],
          pool: 'forks',
          fileParallelism: false,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        ...common,
        test: {
          name: 'long',
          globalSetup,
          include: ['test/long/**/*.spec.ts', '{apps,libs}/**/*.long.spec.ts'],
          exclude: never,
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
