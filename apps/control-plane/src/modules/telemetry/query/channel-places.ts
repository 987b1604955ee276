import type { ChannelPlace, StreamRow } from './measurement.repository.ts';

/** All channels of some stream rows, each once, in the order in which they first came. */
export function channelsOf(streams: readonly StreamRow[]): string[] {
  return [...new Set(streams.flatMap((stream) => stream.channels))];
}

/** Where the values of each of `channels` are in each stream row. A name that stands twice in one row counts where it is first. */
export function placesOf(streams: readonly StreamRow[], channels: readonly string[]): ChannelPlace[] {
  return streams.flatMap(({ id, channels: own }) =>
    channels.flatMap((name, channel) => {
      const index = own.indexOf(name);
      return index < 0 ? [] : [{ stream: id, ordinal: index + 1, channel }];
    }),
  );
}

/** For each stream row, the place of each of `channels` among its values, or -1. */
export function orderOf(streams: readonly StreamRow[], channels: readonly string[]): Map<number, number[]> {
  return new Map(streams.map(({ id, channels: own }) => [id, channels.map((name) => own.indexOf(name))]));
}
