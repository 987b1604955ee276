import type { ModelCard, QueryOf, Release, ReleaseVariant, ResponseOf, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { ConflictError, NotFoundError } from '../../../platform/http/errors.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import { ReleaseRepository } from './release.repository.ts';

/** What is known of releases. Builds make them. */
@Injectable()
export class ReleaseService {
  constructor(
    private readonly releases: ReleaseRepository,
    private readonly store: ArtifactStore,
  ) {}

  list(
    fleet: string,
    query: QueryOf<typeof api.releases.list>,
  ): Promise<{ items: Release[]; nextCursor: string | null }> {
    return this.releases.list(fleet, query);
  }

  /** @throws NotFoundError */
  async get(fleet: string, id: string): Promise<Release> {
    const release = await this.releases.find(fleet, id);
    if (!release) throw NotFoundError.of('release', id);
    return release;
  }

  /** @throws NotFoundError, ConflictError while it is not READY */
  async manifest(fleet: string, id: string): Promise<ResponseOf<typeof api.releases.manifest>> {
    const release = await this.get(fleet, id);
    if (release.manifestDigest === null)
      throw new ConflictError(`The release "${id}" has no manifest: its status is ${release.status}.`);
    const bytes = await this.store.read(release.manifestDigest);
    return JSON.parse(bytes.toString('utf8')) as ResponseOf<typeof api.releases.manifest>;
  }

  /** @throws NotFoundError */
  async variants(fleet: string, id: string): Promise<{ items: ReleaseVariant[] }> {
    return { items: (await this.get(fleet, id)).variants };
  }

  /** @throws NotFoundError, ConflictError where it has none */
  async card(fleet: string, id: string): Promise<ModelCard> {
    const digest = await this.releases.cardDigest(fleet, id);
    if (digest === undefined) throw NotFoundError.of('release', id);
    if (digest === null) throw new ConflictError(`The release "${id}" has no model card: no build has finished it.`);
    return JSON.parse((await this.store.read(digest)).toString('utf8')) as ModelCard;
  }

  /** As Markdown. */
  async cardText(fleet: string, id: string): Promise<string> {
    const card = await this.card(fleet, id);
    // The factory brings an inference runtime along: loaded by who needs it, and not with the process.
    const { cardToMarkdown } = await import('@drover/factory');
    return cardToMarkdown(card);
  }
}
