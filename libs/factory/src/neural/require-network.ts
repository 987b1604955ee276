import type { TrainedDetector } from '../detector.ts';
import { UnsupportedGraphError } from '../errors.ts';
import type { Network } from '../network.ts';

/** @throws UnsupportedGraphError where there is no network to start from */
export function requireNetwork({ family, network }: TrainedDetector, what: 'pruned' | 'distilled'): Network {
  if (network !== undefined) return network;
  throw new UnsupportedGraphError(`A ${what} model needs a neural network that was trained here; ${family} has none.`);
}
