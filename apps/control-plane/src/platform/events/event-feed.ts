import type { FleetEvent } from '@drover/contracts';
import { Backoff, messageOf, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import type { NoticeListener } from '../database/listener.ts';
import { EVENTS_CHANNEL, parsePosition } from './event-reader.ts';
import type { EventPosition, EventReader } from './event-reader.ts';

const PAGE = 500;
/** A notice can be late by a long transaction elsewhere; look again after this long without one. */
const POLL_MS = 1_000;

const nobodyWaits = (): void => undefined;

/**
 * Follows the event stream from a position: all events in commit order, then those to come, until the signal aborts; from `end`
 * only those to come. Waits out a database that is away.
 */
export async function* followEvents(
  reader: EventReader,
  listener: NoticeListener,
  from: EventPosition | 'end',
  options: { readonly fleet?: string; readonly signal: AbortSignal; readonly logger: Logger },
): AsyncGenerator<FleetEvent[]> {
  const { fleet, signal, logger } = options;
  const backoff = new Backoff(100, 5_000);
  let position = from === 'end' ? undefined : from;
  let wake: () => void = nobodyWaits;
  let noticed = false;
  const end = listener.on(EVENTS_CHANNEL, () => {
    noticed = true;
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort);
  try {
    while (!signal.aborted) {
      noticed = false;
      let events: FleetEvent[];
      try {
        position ??= await reader.end();
        events = await reader.read(position, PAGE, fleet);
        backoff.reset();
      } catch (error) {
        logger.debug({ err: messageOf(error) }, 'Events cannot be read at the moment');
        await sleep(backoff.next(), signal).catch(() => undefined);
        continue;
      }
      if (events.length > 0) {
        yield events;
        position = parsePosition(events.at(-1)!.id);
        continue;
      }
      if (noticed || signal.aborted) {
        // Its transaction has committed, but an older one may still be running: look again soon.
        await sleep(5, signal).catch(() => undefined);
        if (noticed) continue;
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, POLL_MS);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (noticed || signal.aborted) wake();
      });
    }
  } finally {
    end();
    signal.removeEventListener('abort', onAbort);
  }
}
