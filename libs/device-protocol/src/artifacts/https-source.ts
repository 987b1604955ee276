import { request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { OperationError } from '@drover/runtime';
import { connectionFailure } from '../connection/tls-failures.ts';
import { listenerUrl } from '../enrolment/device-listener.ts';
import { ArtifactUnavailableError, ServerFailedError, ServerUnreachableError, SizeMismatchError } from '../errors.ts';
import type { ConnectionIdentity } from '../identity.ts';
import type { ArtifactSource, ReadRequest, SourceBytes } from './source.ts';

export interface HttpsSourceOptions {
  /** Without a byte for this long the transfer counts as broken. */
  readonly idleTimeoutMs?: number;
}

/** Range requests to the device listener (`GET /artifacts/{digest}`) with the device's certificate. */
export class HttpsSource implements ArtifactSource {
  readonly name = 'https';
  readonly #identity: () => ConnectionIdentity;
  readonly #idleTimeoutMs: number;

  /** @param identity asked for at each request, since it is renewed */
  constructor(identity: () => ConnectionIdentity, options: HttpsSourceOptions = {}) {
    this.#identity = identity;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? 30_000;
  }

  async *read(request: ReadRequest): AsyncGenerator<SourceBytes> {
    const answer = await this.#firstAnswer(request);
    let offset = beginOf(answer, request);
    try {
      for await (const bytes of answer as AsyncIterable<Buffer>) {
        if (offset + bytes.length > request.sizeBytes) {
          throw new SizeMismatchError(`The server's artifact ${request.digest} is over ${request.sizeBytes} bytes`);
        }
        yield { offset, bytes };
        offset += bytes.length;
      }
    } catch (error) {
      request.signal.throwIfAborted();
      throw error instanceof OperationError ? error : connectionFailure('the device listener', error);
    } finally {
      answer.destroy();
    }
  }

  async #firstAnswer(request: ReadRequest): Promise<IncomingMessage> {
    const { urls } = this.#identity().https;
    let failure: unknown = new ArtifactUnavailableError('The identity names no https URL');
    for (const base of urls) {
      try {
        return await this.#get(listenerUrl(base, `artifacts/${request.digest}`), request);
      } catch (error) {
        request.signal.throwIfAborted();
        if (error instanceof ArtifactUnavailableError || error instanceof SizeMismatchError) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  #get(url: URL, { digest, offset, sizeBytes, signal }: ReadRequest): Promise<IncomingMessage> {
    const { authorities, certificate, privateKeyPem } = this.#identity();
    return new Promise((resolve, reject) => {
      const sent = httpsRequest(
        url,
        {
          agent: false,
          ca: authorities,
          cert: certificate,
          key: privateKeyPem,
          minVersion: 'TLSv1.2',
          headers: { 'accept-encoding': 'identity', ...(offset > 0 && { range: `bytes=${offset}-` }) },
          signal,
        },
        (answer) => {
          const status = answer.statusCode ?? 0;
          if (status === 200 || status === 206) {
            resolve(answer);
            return;
          }
          answer.destroy();
          if (status === 416)
            reject(new SizeMismatchError(`Artifact ${digest} has no byte at ${offset} of ${sizeBytes}`));
          else if (status === 429 || status >= 500) reject(new ServerFailedError(status, null));
          else reject(new ArtifactUnavailableError(`The server answered ${status} for artifact ${digest}`));
        },
      );
      sent.setTimeout(this.#idleTimeoutMs, () =>
        sent.destroy(new ServerUnreachableError(`${url.host} sent nothing for ${this.#idleTimeoutMs} ms`)),
      );
      sent.once('error', (error) => reject(signal.aborted ? signal.reason : connectionFailure(url.host, error)));
      sent.end();
    });
  }
}

/** Where the answer's bytes begin; checks what the server says of the whole size. */
function beginOf(answer: IncomingMessage, { sizeBytes, offset }: ReadRequest): number {
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.headers['content-range'] ?? '');
  const total = range === null ? answer.headers['content-length'] : range[2];
  if (total !== undefined && Number(total) !== sizeBytes) {
    answer.destroy();
    throw new SizeMismatchError(`The server's artifact is ${total} bytes, expected ${sizeBytes}`);
  }
  // 200 to a range request: the server sends all of it.
  if (answer.statusCode === 200) return 0;
  if (range === null || Number(range[1]) !== offset) {
    answer.destroy();
    throw new ServerUnreachableError(`The server answered with another range than the one from ${offset}`);
  }
  return offset;
}
