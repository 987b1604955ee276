export * from './src/canonical.ts';
export * from './src/documents.ts';
export * from './src/envelopes.ts';
export * from './src/errors.ts';
export * from './src/key-sets.ts';
export * from './src/keys.ts';
export * from './src/spki-pin.ts';
export * from './src/twin-order.ts';
