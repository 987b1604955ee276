export * from './src/agent-process.ts';
export * from './src/control-plane-process.ts';
export * from './src/eventually.ts';
export * from './src/left-processes.ts';
export * from './src/raw-device.ts';
export * from './src/stored-messages.ts';
export * from './src/testbed.ts';
export * from './src/unsent-messages.ts';
