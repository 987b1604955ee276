import { API_PREFIX, FLEET_HEADER, api, problemSchema } from '@drover/contracts';
import type { Artifact, BodyInputOf, FleetEvent, QueryInputOf, ResponseOf, Route } from '@drover/contracts';
import { messageOf } from '@drover/runtime';
import { ApiProblemError, ServerUnreachableError, UnexpectedAnswerError } from './errors.ts';
import { readEvents } from './server-sent-events.ts';

export interface ClientOptions {
  /** Of the REST API, without `/api/v1`: `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly apiKey: string;
  /** For the instance administrator's key: the fleet to act in. */
  readonly fleet?: string;
  /** No answer after this long is an error. Uploads and event streams are not bounded. */
  readonly timeoutMs?: number;
}

/** The names in a path's `:name` parts. */
type ParamsOf<P extends string> = P extends `${string}:${infer Name}/${infer Tail}`
  ? { readonly [K in Name]: string } & ParamsOf<`/${Tail}`>
  : P extends `${string}:${infer Name}`
    ? { readonly [K in Name]: string }
    : unknown;

export type Arguments<R extends Route> = {
  readonly query?: QueryInputOf<R>;
  readonly signal?: AbortSignal;
} & (R['path'] extends `${string}:${string}` ? { readonly params: ParamsOf<R['path']> } : { readonly params?: never }) &
  (BodyInputOf<R> extends undefined ? { readonly body?: never } : { readonly body: BodyInputOf<R> });

type Rest<R extends Route> = R['path'] extends `${string}:${string}`
  ? [Arguments<R>]
  : BodyInputOf<R> extends undefined
    ? [Arguments<R>?]
    : [Arguments<R>];

/** A client of the REST API, typed by the same table of routes that the server validates by. */
export class DroverClient {
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #timeoutMs: number;

  constructor(options: ClientOptions) {
    this.#url = `${options.url.replace(/\/+$/, '')}${API_PREFIX}`;
    this.#headers = {
      authorization: `Bearer ${options.apiKey}`,
      ...(options.fleet === undefined ? {} : { [FLEET_HEADER]: options.fleet }),
    };
    this.#timeoutMs = options.timeoutMs ?? 30_000;
  }

  /**
   * Calls one route.
   *
   * @throws ApiProblemError, ServerUnreachableError, UnexpectedAnswerError
   */
  async call<R extends Route>(route: R, ...[given]: Rest<R>): Promise<ResponseOf<R>> {
    const { params, query, body, signal } = (given ?? {}) as {
      params?: Record<string, string>;
      query?: object;
      body?: unknown;
      signal?: AbortSignal;
    };
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    const response = await this.#fetch(this.#address(route, params, query), {
      method: route.method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    if (typeof route.response === 'string') {
      await response.arrayBuffer();
      return undefined as ResponseOf<R>;
    }
    const parsed = route.response.safeParse(await readJson(response));
    if (!parsed.success)
      throw new UnexpectedAnswerError(
        `The answer to ${route.id} does not fit: ${parsed.error.message}. Is the server of another version?`,
      );
    return parsed.data as ResponseOf<R>;
  }

  /** Every item of a list, page after page. */
  async *all<R extends Route>(route: R, given: Arguments<R>): AsyncGenerator<ItemOf<R>> {
    let cursor: string | null = null;
    do {
      const query = { ...given.query, ...(cursor === null ? {} : { cursor }) };
      const page = (await this.call(route, ...([{ ...given, query }] as unknown as Rest<R>))) as {
        items: ItemOf<R>[];
        nextCursor: string | null;
      };
      yield* page.items;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  /** Stores bytes; the same bytes twice are one artifact. */
  async upload(
    bytes: Uint8Array | ReadableStream<Uint8Array>,
    mediaType = 'application/octet-stream',
    signal?: AbortSignal,
  ): Promise<Artifact> {
    const response = await this.#fetch(this.#address(api.artifacts.upload), {
      method: 'POST',
      headers: { 'content-type': mediaType },
      body: bytes,
      duplex: 'half',
      ...(signal ? { signal } : {}),
    } as RequestInit);
    return api.artifacts.upload.response.parse(await readJson(response));
  }

  async download(digest: string, signal?: AbortSignal): Promise<Uint8Array> {
    const response = await this.#fetch(this.#address(api.artifacts.download, { digest }), signal ? { signal } : {});
    return new Uint8Array(await response.arrayBuffer());
  }

  /** Events as they happen, until the signal aborts or the server goes. `after: '0'` begins with the oldest. */
  async *events(options: {
    readonly types?: string;
    readonly after?: string;
    readonly signal: AbortSignal;
  }): AsyncGenerator<FleetEvent> {
    const { signal, ...query } = options;
    const response = await this.#fetch(this.#address(api.events.stream, undefined, query), { signal });
    yield* readEvents(response.body!, signal);
  }

  #address(route: Pick<Route, 'path'>, params?: Readonly<Record<string, string>>, query?: object): string {
    const path = route.path.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(params?.[name] ?? ''));
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined && value !== null)
        search.set(name, Array.isArray(value) ? value.join(',') : String(value));
    }
    return `${this.#url}${path}${search.size > 0 ? `?${search.toString()}` : ''}`;
  }

  async #fetch(address: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(address, {
        ...init,
        headers: { ...this.#headers, ...(init.headers as Record<string, string>) },
      });
    } catch (error) {
      if (init.signal?.aborted && (init.signal.reason as Error | undefined)?.name !== 'TimeoutError') throw error;
      const cause = error instanceof Error && error.cause ? error.cause : error;
      throw new ServerUnreachableError(`The control plane does not answer at ${this.#url} (${messageOf(cause)}).`, {
        cause: error,
      });
    }
    if (response.ok) return response;
    const problem = problemSchema.safeParse(await readJson(response).catch(() => undefined));
    if (problem.success) throw new ApiProblemError(problem.data);
    throw new UnexpectedAnswerError(
      `${address} answered ${response.status} without a problem document. Is it a Drover control plane?`,
    );
  }
}

type ItemOf<R extends Route> = ResponseOf<R> extends { items: (infer T)[] } ? T : never;

async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UnexpectedAnswerError(
      `The answer is no JSON (status ${response.status}). Is it a Drover control plane?`,
      { cause: error },
    );
  }
}
