import { Worker } from 'node:worker_threads';
import type { ResourceLimits } from 'node:worker_threads';
import { sleep } from '@drover/runtime';
import { Doorbell, createDoorbellMemory } from './doorbell.ts';
import { InferenceWorkerLostError, fromPlainError } from './errors.ts';
import type { FromWorker, RequestName, WorkerData, WorkerRequests, WorkerSetup } from './worker-messages.ts';

/** News that the worker sends of its own accord. */
export type WorkerNews = Exclude<FromWorker, { type: 'ready' | 'answer' | 'refusal' }>;

export interface WorkerLinkOptions {
  readonly url: URL;
  readonly setup: WorkerSetup;
  readonly resourceLimits: ResourceLimits;
  onNews(news: WorkerNews): void;
  /** The worker ended although nobody closed it. */
  onLost(reason: string): void;
}

interface Pending {
  resolve(answer: unknown): void;
  reject(error: unknown): void;
}

/** A worker that does not answer in this time hangs in native code. */
const CLOSE_PATIENCE_MS = 10_000;

/** One worker's life: started, asked, closed. Never used again after that. */
export class WorkerLink {
  readonly #options: WorkerLinkOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #doorbellMemory = createDoorbellMemory();
  readonly #doorbell = new Doorbell(this.#doorbellMemory);
  #worker: Worker | null = null;
  #requests = 0;
  #closing = false;

  constructor(options: WorkerLinkOptions) {
    this.#options = options;
  }

  /** @throws InferenceWorkerLostError when the worker ends before it says that it runs */
  start(): Promise<void> {
    const { url, setup, resourceLimits } = this.#options;
    const worker = new Worker(url, {
      name: 'drover-inference',
      workerData: { ...setup, doorbell: this.#doorbellMemory } satisfies WorkerData,
      resourceLimits,
      // Sources import other packages' sources; built code imports built code.
      ...(url.pathname.endsWith('.ts') ? { execArgv: ['--conditions=source'] } : {}),
    });
    this.#worker = worker;
    return new Promise((resolve, reject) => {
      let cause: unknown;
      let ready = false;
      worker.on('error', (error) => (cause = error));
      worker.on('exit', (code) => {
        const reason = cause instanceof Error ? cause.message : `exit code ${code}`;
        this.#worker = null;
        this.#failPending(`The inference worker ended: ${reason}`);
        if (!ready) reject(new InferenceWorkerLostError(`The inference worker did not start: ${reason}`, { cause }));
        else if (!this.#closing) this.#options.onLost(reason);
      });
      worker.on('message', (message: FromWorker) => {
        if (message.type !== 'ready') return this.#receive(message);
        ready = true;
        return resolve();
      });
    });
  }

  /** Tells that the pipeline of this index has samples. */
  ring(index: number): void {
    if (!this.#doorbell.ring()) this.#worker?.postMessage(index);
  }

  /** @throws what the worker threw, with its class; InferenceWorkerLostError when it ends before it answers */
  request<K extends RequestName>(name: K, args: WorkerRequests[K]['args']): Promise<WorkerRequests[K]['answer']> {
    return new Promise((resolve, reject) => {
      if (this.#worker === null) {
        reject(new InferenceWorkerLostError('The inference worker is gone'));
        return;
      }
      const id = (this.#requests += 1);
      this.#pending.set(id, { resolve: resolve as Pending['resolve'], reject });
      // Nothing is transferred: a model's bytes are kept for the next worker.
      this.#worker.postMessage({ id, name, args }, []);
      this.#doorbell.ringForRequest();
    });
  }

  /** Lets the worker finish what it is in the middle of, and ends it. @returns each pipeline's last memory */
  async close(): Promise<WorkerRequests['close']['answer']> {
    this.#closing = true;
    const patience = new AbortController();
    const parked = await Promise.race([
      this.request('close', {}).catch(() => []),
      sleep(CLOSE_PATIENCE_MS, patience.signal).then(
        () => [],
        () => [],
      ),
    ]);
    patience.abort();
    await this.#worker?.terminate();
    return parked;
  }

  #receive(message: Exclude<FromWorker, { type: 'ready' }>): void {
    if (message.type === 'answer') this.#settle(message.id)?.resolve(message.answer);
    else if (message.type === 'refusal') this.#settle(message.id)?.reject(fromPlainError(message.error));
    else this.#options.onNews(message);
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #failPending(reason: string): void {
    for (const { reject } of this.#pending.values()) reject(new InferenceWorkerLostError(reason));
    this.#pending.clear();
  }
}
