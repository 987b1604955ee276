export * from './src/client.ts';
export * from './src/errors.ts';
