import { Module } from '@nestjs/common';
import { TelemetryModule } from '../telemetry/telemetry.module.ts';
import { ArtifactController } from './artifacts/artifact.controller.ts';
import { ArtifactDelivery } from './artifacts/artifact-delivery.ts';
import { ArtifactRepository } from './artifacts/artifact.repository.ts';
import { ArtifactService } from './artifacts/artifact.service.ts';
import { ModelController } from './model.controller.ts';
import { ModelRepository } from './model.repository.ts';
import { ModelService } from './model.service.ts';
import { ReleaseBuildProcessor } from './releases/release-build.processor.ts';
import { ReleaseRepository } from './releases/release.repository.ts';
import { ReleaseService } from './releases/release.service.ts';

@Module({
  imports: [TelemetryModule],
  controllers: [ModelController, ArtifactController],
  providers: [
    ArtifactDelivery,
    ArtifactRepository,
    ArtifactService,
    ModelRepository,
    ModelService,
    ReleaseBuildProcessor,
    ReleaseRepository,
    ReleaseService,
  ],
  exports: [ReleaseRepository, ReleaseService],
})
export class ModelsModule {}
