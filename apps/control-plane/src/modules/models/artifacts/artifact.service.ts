import type { Artifact, PageQuery } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { Database } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { NotFoundError } from '../../../platform/http/errors.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import { ArtifactRepository } from './artifact.repository.ts';

@Injectable()
export class ArtifactService {
  constructor(
    private readonly config: Config,
    private readonly database: Database,
    private readonly artifacts: ArtifactRepository,
    private readonly store: ArtifactStore,
    private readonly events: EventOutbox,
  ) {}

  /**
   * Stores a stream; bytes first, the row after them, so that a row always has its bytes.
   *
   * @throws PayloadTooLargeError
   */
  async upload(fleet: string, bytes: AsyncIterable<Uint8Array>, mediaType: string): Promise<Artifact> {
    const stored = await this.store.put(bytes, this.config.http.DROVER_MAX_ARTIFACT);
    return this.database.transaction(async (tx) => {
      const artifact = await this.artifacts.record(tx, fleet, stored, mediaType);
      await this.events.append(tx, {
        fleet,
        type: 'artifact.stored',
        subject: artifact.digest,
        data: { sizeBytes: artifact.sizeBytes },
      });
      return artifact;
    });
  }

  list(fleet: string, page: PageQuery): Promise<{ items: Artifact[]; nextCursor: string | null }> {
    return this.artifacts.list(fleet, page);
  }

  /** @throws NotFoundError */
  async get(fleet: string, digest: string): Promise<Artifact> {
    const artifact = await this.artifacts.find(fleet, digest);
    if (!artifact) throw NotFoundError.of('artifact', digest);
    return artifact;
  }
}
