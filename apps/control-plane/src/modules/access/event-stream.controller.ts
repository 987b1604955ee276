import { api } from '@drover/contracts';
import type { FleetEvent } from '@drover/contracts';
import type { Logger } from '@drover/runtime';
import { Controller, Inject, Req, Res } from '@nestjs/common';
import type { OnApplicationShutdown } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { NoticeListener } from '../../platform/database/listener.ts';
import { followEvents } from '../../platform/events/event-feed.ts';
import { EventReader, parsePosition } from '../../platform/events/event-reader.ts';
import type { Caller } from '../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../platform/http/endpoint.decorator.ts';
import { LOGGER } from '../../platform/platform.module.ts';

const KEEP_ALIVE_MS = 15_000;

/** Server-sent events from the outbox. A client that reconnects sends Last-Event-ID and misses nothing. */
@Controller()
export class EventStreamController implements OnApplicationShutdown {
  readonly #stopping = new AbortController();

  constructor(
    private readonly reader: EventReader,
    private readonly listener: NoticeListener,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  @Endpoint(api.events.stream)
  async stream(
    @ValidInput() input: Input<typeof api.events.stream>,
    @TheCaller() caller: Caller,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const last = request.headers['last-event-id'] ?? input.query.after;
    const from = typeof last === 'string' && last !== '' ? parsePosition(last) : await this.reader.end();
    const wanted = matcher(input.query.types);
    reply.hijack();
    const response = reply.raw;
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      connection: 'keep-alive',
      'x-accel-buffering': 'no',
    });
    response.write(': connected\n\n');
    const closed = new AbortController();
    response.once('close', () => closed.abort());
    const keepAlive = setInterval(() => response.write(': keep-alive\n\n'), KEEP_ALIVE_MS);
    try {
      const signal = AbortSignal.any([closed.signal, this.#stopping.signal]);
      for await (const events of followEvents(this.reader, this.listener, from, {
        fleet: caller.fleet,
        signal,
        logger: this.logger,
      })) {
        const text = events
          .filter((event) => wanted(event.type))
          .map(format)
          .join('');
        // Waits for a slow reader instead of filling memory.
        if (text !== '' && !response.write(text)) await drained(response, signal);
      }
    } finally {
      clearInterval(keepAlive);
      response.end();
    }
  }

  onApplicationShutdown(): void {
    this.#stopping.abort();
  }
}

function format(event: FleetEvent): string {
  return `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

function matcher(types: string | undefined): (type: string) => boolean {
  if (types === undefined) return () => true;
  const patterns = types.split(',').map((type) => type.trim());
  return (type) =>
    patterns.some((pattern) => (pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern));
}

function drained(response: NodeJS.EventEmitter, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    response.on('drain', done);
    signal.addEventListener('abort', done);
  });
}
