import type { Duplex } from 'node:stream';
import type { FleetEvent } from '@drover/contracts';
import { MqttConnection } from '../../../platform/broker/mqtt-connection.ts';

/** What may wait for a reader that is slow; beyond that it is cut off. */
const MAX_PENDING_BYTES = 2 ** 20;

/** Whom a connection belongs to. */
export interface FeedReader {
  readonly keyId: string;
  /** null reads every fleet. */
  readonly fleet: string | null;
  readonly secret: string;
}

/** An integration's connection to the feed. */
export class IntegrationConnection extends MqttConnection {
  reader: FeedReader | undefined;

  constructor(socket: Duplex) {
    super(socket, MAX_PENDING_BYTES);
  }

  maySee(event: FleetEvent): boolean {
    return this.reader !== undefined && (this.reader.fleet === null || this.reader.fleet === event.fleet);
  }
}
