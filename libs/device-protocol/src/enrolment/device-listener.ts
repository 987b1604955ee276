import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { problemSchema } from '@drover/contracts';
import {
  InsecureUrlError,
  RequestRefusedError,
  ServerAnswerInvalidError,
  ServerFailedError,
  ServerUnreachableError,
} from '../errors.ts';
import { connectionFailure } from '../connection/tls-failures.ts';

const MAX_ANSWER_BYTES = 256 * 2 ** 10;

export interface ListenerTls {
  /** Authorities in PEM: nothing else is trusted, the system's neither. */
  readonly ca: readonly string[];
  readonly cert?: string;
  readonly key?: string;
}

export interface PostOptions {
  readonly url: URL;
  readonly body: object;
  readonly tls: ListenerTls;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** `https://host:8443` or with a path before it, as a person types it → the URL of one of its resources. */
export function listenerUrl(base: string, path: string): URL {
  let url: URL;
  try {
    url = new URL(base);
  } catch (error) {
    throw new InsecureUrlError(`"${base}" is no URL; expected something like https://drover.example:8443`, {
      cause: error,
    });
  }
  if (url.protocol !== 'https:') {
    throw new InsecureUrlError(`The device listener is reached over https:, not ${url.protocol} (${base})`);
  }
  return new URL(`${url.pathname.replace(/\/+$/, '')}/${path}`, url);
}

/**
 * Posts JSON to the device listener and gives its JSON answer, not yet validated.
 *
 * @throws RequestRefusedError, ServerFailedError with the server's problem document; ServerUntrustedError,
 *   ServerUnreachableError, ServerAnswerInvalidError
 */
export async function postJson(options: PostOptions): Promise<unknown> {
  const { status, text } = await exchange(options);
  const json = parseOrNull(text);
  if (status >= 200 && status < 300) {
    if (json === null) throw new ServerAnswerInvalidError(`The server answered ${options.url.pathname} with no JSON`);
    return json;
  }
  const problem = problemSchema.safeParse(json).data ?? null;
  if (status >= 400 && status < 500 && status !== 429) throw new RequestRefusedError(status, problem);
  throw new ServerFailedError(status, problem);
}

function exchange(options: PostOptions): Promise<{ status: number; text: string }> {
  const body = Buffer.from(JSON.stringify(options.body));
  const { signal, timeoutMs, url, tls } = options;
  const within = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]);
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      if (signal?.aborted) reject(signal.reason);
      else if (within.aborted) reject(new ServerUnreachableError(`${url.host} did not answer in ${timeoutMs} ms`));
      else reject(connectionFailure(url.host, error));
    };
    const sent = request(
      url,
      {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', 'content-length': body.length },
        agent: false,
        ca: [...tls.ca],
        minVersion: 'TLSv1.2',
        signal: within,
        ...(tls.cert !== undefined && { cert: tls.cert }),
        ...(tls.key !== undefined && { key: tls.key }),
      },
      (answer) => {
        readBounded(answer).then((text) => resolve({ status: answer.statusCode ?? 0, text }), fail);
      },
    );
    sent.once('error', fail);
    sent.end(body);
  });
}

async function readBounded(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_ANSWER_BYTES) {
      answer.destroy();
      throw new ServerAnswerInvalidError(`The server's answer is over ${MAX_ANSWER_BYTES} bytes`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
