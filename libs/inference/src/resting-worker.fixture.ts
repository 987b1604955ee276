import { parentPort, workerData } from 'node:worker_threads';
import { RestingPlace } from './doorbell.ts';
import type { DoorbellMemory } from './doorbell.ts';

new RestingPlace(workerData as DoorbellMemory).rest(60_000, () => false);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- no window
parentPort!.postMessage('woke');
