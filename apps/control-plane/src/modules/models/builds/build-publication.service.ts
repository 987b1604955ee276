import { manifestSchema, modelCardSchema } from '@drover/contracts';
import type { Build, Manifest, ModelCard } from '@drover/contracts';
import { canonicalBytes, signDocument } from '@drover/trust';
import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { KeyStore } from '../../../platform/keys/key-store.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import { ArtifactRepository } from '../artifacts/artifact.repository.ts';
import { ModelRepository } from '../model.repository.ts';
import { ReleaseRepository } from '../releases/release.repository.ts';
import { variantRecords } from '../releases/variant-rows.ts';
import { BuildRepository } from './build.repository.ts';
import type { BuildRun } from './build.repository.ts';
import type { BuildThreadResult } from './build-thread.ts';

export const MODEL_MEDIA_TYPE = 'application/x-onnx';
export const MANIFEST_MEDIA_TYPE = 'application/vnd.drover.manifest+json';
export const CARD_MEDIA_TYPE = 'application/vnd.drover.model-card+json';
const ENCODED_MEDIA_TYPE = 'application/zstd';

/** Makes a READY release of what the factory has built: artifacts, signed manifest, model card, rows. */
@Injectable()
export class BuildPublication {
  constructor(
    private readonly database: Database,
    private readonly builds: BuildRepository,
    private readonly releases: ReleaseRepository,
    private readonly models: ModelRepository,
    private readonly artifacts: ArtifactRepository,
    private readonly store: ArtifactStore,
    private readonly keys: KeyStore,
    private readonly events: EventOutbox,
  ) {}

  /** @returns false where the build is not the run's any more: then nothing was done */
  async publish({ fleet, holder }: BuildRun, build: Build, built: BuildThreadResult): Promise<boolean> {
    const release = (await this.releases.find(fleet, build.release))!;
    const model = (await this.models.find(fleet, release.model))!;
    const named = { id: model.id, name: model.name };
    const numbered = { id: release.id, version: release.version };
    const createdAt = new Date().toISOString();
    const manifest: Manifest = manifestSchema.parse({
      ...built.manifestDraft,
      fleet,
      model: named,
      release: numbered,
      createdAt,
    });
    const card: ModelCard = modelCardSchema.parse({ ...built.card, model: named, release: numbered, createdAt });
    // Bytes before rows: a row always has its bytes. Bytes without a row are found again by their digest.
    const stored = await Promise.all(
      built.artifacts.map(async ({ bytes, encoding }) => ({
        artifact: await this.store.putBytes(bytes),
        mediaType: encoding === 'identity' ? MODEL_MEDIA_TYPE : ENCODED_MEDIA_TYPE,
      })),
    );
    const signed = await this.store.putBytes(
      canonicalBytes(signDocument('manifest', manifest, this.keys.signers('manifest'))),
    );
    const described = await this.store.putBytes(canonicalBytes(card));
    const variants = variantRecords(manifest, card, built.artifacts);
    return this.database.transaction(async (tx) => {
      if (!(await this.builds.end(tx, fleet, build.id, holder, { status: 'SUCCEEDED' }))) return false;
      for (const { artifact, mediaType } of stored) await this.artifacts.record(tx, fleet, artifact, mediaType);
      await this.artifacts.record(tx, fleet, signed, MANIFEST_MEDIA_TYPE);
      await this.artifacts.record(tx, fleet, described, CARD_MEDIA_TYPE);
      await this.releases.ready(tx, fleet, release.id, {
        family: manifest.family,
        manifestDigest: signed.digest,
        cardDigest: described.digest,
        variants,
      });
      const offered = variants.filter((variant) => variant.offered).map(({ name }) => name);
      const refused = variants.filter((variant) => !variant.offered).map(({ name }) => name);
      await this.events.append(
        tx,
        { fleet, type: 'build.succeeded', subject: build.id, data: { release: release.id } },
        {
          fleet,
          type: 'release.ready',
          subject: release.id,
          data: {
            model: model.id,
            version: release.version,
            build: build.id,
            family: manifest.family,
            offered,
            refused,
            limits: card.limits,
          },
        },
      );
      return true;
    });
  }
}
