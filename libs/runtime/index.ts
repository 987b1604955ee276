export * from './src/backoff.ts';
export * from './src/child-program.ts';
export * from './src/clock.ts';
export * from './src/config.ts';
export * from './src/errors.ts';
export * from './src/files.ts';
export * from './src/ids.ts';
export * from './src/logger.ts';
