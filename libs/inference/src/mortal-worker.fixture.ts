import { BroadcastChannel } from 'node:worker_threads';

/** The real worker, except that it dies when told to, as abruptly as by a fault that ends its thread. */
const channel = new BroadcastChannel('drover-inference-death');
channel.addEventListener('message', () => process.exit(70));
await import('./worker.ts');
