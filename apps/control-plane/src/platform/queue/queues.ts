import type { Logger } from '@drover/runtime';
import { messageOf } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Queue, Worker, createPostgresBackend, withBackend } from 'bullmq';
import type { ConnectionOptions } from 'bullmq';
import { Redis } from 'ioredis';

/** What a job carries: ids, never state. */
export type JobIds = Readonly<Record<string, string | number>>;

/** Must be idempotent: a job may run again after a crash, and the reconciler may add it once more. */
export type JobProcessor = (ids: JobIds, signal: AbortSignal) => Promise<void>;

export interface QueueBackend {
  readonly kind: 'postgres' | 'redis';
  readonly connectionString: string;
}

interface QueueClasses {
  readonly Queue: typeof Queue;
  readonly Worker: typeof Worker;
}

const FINISHED_JOBS_KEPT = 200;

// Every queue and every worker has connections of its own to PostgreSQL, a worker one more to listen: few each, because there are
// several queues and the server has not so many to give.
const MAX_ADDING_CONNECTIONS = 2;
const MAX_WORKING_CONNECTIONS = 3;

/** BullMQ, on the database or on Redis. Losing all of it loses nothing: the reconciler derives missing jobs from rows. */
@Injectable()
export class Queues {
  readonly #queues = new Map<string, Queue>();
  readonly #workers: Worker[] = [];
  readonly #stopping = new AbortController();
  readonly #connections: { readonly adding: ConnectionOptions; readonly working: ConnectionOptions };
  // BullMQ's own default is Redis; a process-wide default would be one for every instance.
  readonly #classes: QueueClasses = { Queue, Worker };

  constructor(
    readonly backend: QueueBackend,
    private readonly logger: Logger,
  ) {
    if (backend.kind === 'redis') {
      const redis = new Redis(backend.connectionString, { maxRetriesPerRequest: null, lazyConnect: false });
      this.#connections = { adding: redis, working: redis };
    } else {
      this.#classes = withBackend(createPostgresBackend) as unknown as QueueClasses;
      // Its tables live in a schema of their own, which BullMQ migrates itself.
      const { connectionString } = backend;
      const pool = (max: number): ConnectionOptions =>
        ({ connectionString, schema: 'bullmq', migrate: true, max }) as never;
      this.#connections = { adding: pool(MAX_ADDING_CONNECTIONS), working: pool(MAX_WORKING_CONNECTIONS) };
    }
  }

  /**
   * Adds a job. One that waits or runs under the same `jobId` is not added twice; a finished one is forgotten, so that it can be
   * asked for again. With `again`, a job that is running already runs once more after its end: what it has yet to be told may be
   * newer than what it has read.
   */
  async add(
    queue: string,
    name: string,
    ids: JobIds,
    options: { readonly jobId?: string; readonly again?: boolean; readonly delayMs?: number } = {},
  ): Promise<void> {
    await this.#queue(queue).add(name, ids, {
      ...(options.jobId === undefined
        ? {}
        : { deduplication: { id: options.jobId, keepLastIfActive: options.again ?? false } }),
      ...(options.delayMs === undefined ? {} : { delay: options.delayMs }),
      attempts: 5,
      backoff: { type: 'exponential', delay: 200 },
      removeOnComplete: true,
      removeOnFail: FINISHED_JOBS_KEPT,
    });
  }

  /** Starts taking jobs of a queue. Stops with `stop`, which lets running ones finish. */
  process(queue: string, concurrency: number, processors: Readonly<Record<string, JobProcessor>>): void {
    const worker = new this.#classes.Worker(
      queue,
      async (job) => {
        const processor = processors[job.name];
        if (!processor) throw new TypeError(`No processor for job ${job.name} of queue ${queue}`);
        await processor(job.data as JobIds, this.#stopping.signal);
      },
      // A job of a worker that was killed is taken up again after these; it keeps its `jobId` until then.
      { connection: this.#connections.working, concurrency, stalledInterval: 5_000, lockDuration: 10_000 },
    );
    worker.on('failed', (job, error) =>
      this.logger.warn({ queue, job: job?.name, ids: job?.data as object, err: messageOf(error) }, 'A job failed'),
    );
    worker.on('error', (error) =>
      this.logger.debug({ queue, err: messageOf(error) }, 'The queue is not reachable at the moment'),
    );
    this.#workers.push(worker);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#workers.map((worker) => worker.close()));
    await Promise.allSettled([...this.#queues.values()].map((queue) => queue.close()));
    if (this.#connections.adding instanceof Redis) this.#connections.adding.disconnect();
  }

  #queue(name: string): Queue {
    let queue = this.#queues.get(name);
    if (!queue) {
      queue = new this.#classes.Queue(name, { connection: this.#connections.adding });
      queue.on('error', (error) =>
        this.logger.debug({ queue: name, err: messageOf(error) }, 'The queue is not reachable at the moment'),
      );
      this.#queues.set(name, queue);
    }
    return queue;
  }
}
