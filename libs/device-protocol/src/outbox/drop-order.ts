import type { DeliveryClass } from '@drover/contracts';

/**
 * What a full store gives up, oldest first within each: measurements; state but for the newest (each is the whole state, so
 * the newest says it all); events only when nothing else is left.
 */
export const DROP_ORDER: readonly { readonly name: DeliveryClass; readonly keep: number }[] = [
  { name: 'm', keep: 0 },
  { name: 's', keep: 1 },
  { name: 'e', keep: 0 },
];
