import { api, digestSchema } from '@drover/contracts';
import type { Artifact } from '@drover/contracts';
import { InvalidInputError } from '@drover/runtime';
import { Controller, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../../platform/http/endpoint.decorator.ts';
import { UnsupportedMediaTypeError } from '../../../platform/http/errors.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import { ArtifactService } from './artifact.service.ts';
import { sendArtifact } from './send-artifact.ts';

const MEDIA_TYPE = /^[a-z0-9.+-]{1,64}\/[a-z0-9.+-]{1,64}$/;

@Controller()
export class ArtifactController {
  constructor(
    private readonly artifacts: ArtifactService,
    private readonly store: ArtifactStore,
  ) {}

  @Endpoint(api.artifacts.list)
  list(@ValidInput() input: Input<typeof api.artifacts.list>, @TheCaller() caller: Caller) {
    return this.artifacts.list(caller.fleet, input.query);
  }

  @Endpoint(api.artifacts.upload)
  async upload(@TheCaller() caller: Caller, @Req() request: FastifyRequest): Promise<Artifact> {
    const mediaType = (request.headers['content-type'] ?? 'application/octet-stream')
      .split(';')[0]!
      .trim()
      .toLowerCase();
    if (mediaType === 'application/json' || !MEDIA_TYPE.test(mediaType)) {
      throw new UnsupportedMediaTypeError(
        'Send the bytes with a content type of their own, such as application/octet-stream or text/csv.',
      );
    }
    const body = request.body as AsyncIterable<Uint8Array> | undefined;
    if (typeof body?.[Symbol.asyncIterator] !== 'function') throw new InvalidInputError('Send the bytes as the body.');
    return this.artifacts.upload(caller.fleet, body, mediaType);
  }

  @Endpoint(api.artifacts.download)
  async download(
    @ValidInput() input: Input<typeof api.artifacts.download>,
    @TheCaller() caller: Caller,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const digest = digestSchema.safeParse(input.params.digest);
    if (!digest.success)
      throw new InvalidInputError('The digest must be a SHA-256 in lower-case hexadecimal.', {
        problems: [{ path: 'digest', message: 'must be 64 hexadecimal digits' }],
      });
    const artifact = await this.artifacts.get(caller.fleet, digest.data);
    await this.store.size(artifact.digest);
    reply.hijack();
    await sendArtifact(this.store, artifact, request.raw, reply.raw).catch(() => reply.raw.destroy());
  }
}
