import { pipeline } from 'node:stream/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parseRange } from '../../../platform/http/byte-range.ts';
import type { ArtifactStore } from '../../../platform/storage/artifact-store.ts';

/**
 * Sends an artifact, whole or a range of it. The digest is the ETag, so what is under it never changes and may be kept for
 * ever.
 */
export async function sendArtifact(
  store: ArtifactStore,
  artifact: { readonly digest: string; readonly mediaType: string },
  request: Pick<IncomingMessage, 'headers' | 'method'>,
  response: ServerResponse,
): Promise<void> {
  const size = await store.size(artifact.digest);
  const etag = `"${artifact.digest}"`;
  response.setHeader('etag', etag);
  response.setHeader('accept-ranges', 'bytes');
  response.setHeader('cache-control', 'private, max-age=31536000, immutable');
  response.setHeader('x-content-type-options', 'nosniff');
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304).end();
    return;
  }
  // A range of other bytes than the client has is of no use to it: then it gets the whole.
  const fits = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
  const range = fits ? parseRange(request.headers.range, size) : null;
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
    return;
  }
  response.setHeader('content-type', artifact.mediaType);
  const { start, end } = range ?? { start: 0, end: size - 1 };
  response.setHeader('content-length', end - start + 1);
  if (range) response.setHeader('content-range', `bytes ${start}-${end}/${size}`);
  response.writeHead(range ? 206 : 200);
  if (request.method === 'HEAD' || size === 0) {
    response.end();
    return;
  }
  await pipeline(store.stream(artifact.digest, start, end), response);
}
