import { Module } from '@nestjs/common';
import { DevicesModule } from '../devices/devices.module.ts';
import { TelemetryModule } from '../telemetry/telemetry.module.ts';
import { ArtifactController } from './artifacts/artifact.controller.ts';
import { ArtifactDelivery } from './artifacts/artifact-delivery.ts';
import { ArtifactRepository } from './artifacts/artifact.repository.ts';
import { ArtifactService } from './artifacts/artifact.service.ts';
import { BenchmarkController } from './benchmarks/benchmark.controller.ts';
import { BenchmarkRepository } from './benchmarks/benchmark.repository.ts';
import { BenchmarkService } from './benchmarks/benchmark.service.ts';
import { BuildInputs } from './builds/build-inputs.service.ts';
import { BuildPublication } from './builds/build-publication.service.ts';
import { BuildRunner } from './builds/build-runner.service.ts';
import { BuildController } from './builds/build.controller.ts';
import { BuildProcessor } from './builds/build.processor.ts';
import { BuildRepository } from './builds/build.repository.ts';
import { BuildService } from './builds/build.service.ts';
import { CandidateService } from './candidates/candidate.service.ts';
import { CaptureAdvance } from './captures/capture-advance.service.ts';
import { CaptureController } from './captures/capture.controller.ts';
import { CaptureProcessor } from './captures/capture.processor.ts';
import { CaptureRepository } from './captures/capture.repository.ts';
import { CaptureService } from './captures/capture.service.ts';
import { DatasetController } from './datasets/dataset.controller.ts';
import { DatasetProcessor } from './datasets/dataset.processor.ts';
import { DatasetRepository } from './datasets/dataset.repository.ts';
import { DatasetService } from './datasets/dataset.service.ts';
import { ModelController } from './model.controller.ts';
import { ModelRepository } from './model.repository.ts';
import { ModelService } from './model.service.ts';
import { ReleaseController } from './releases/release.controller.ts';
import { ReleaseRepository } from './releases/release.repository.ts';
import { ReleaseService } from './releases/release.service.ts';

@Module({
  imports: [DevicesModule, TelemetryModule],
  controllers: [
    ModelController,
    ReleaseController,
    BenchmarkController,
    BuildController,
    DatasetController,
    CaptureController,
    ArtifactController,
  ],
  providers: [
    ArtifactDelivery,
    ArtifactRepository,
    ArtifactService,
    ModelRepository,
    ModelService,
    BenchmarkRepository,
    BenchmarkService,
    BuildInputs,
    BuildProcessor,
    BuildPublication,
    BuildRepository,
    BuildRunner,
    BuildService,
    CandidateService,
    CaptureAdvance,
    CaptureProcessor,
    CaptureRepository,
    CaptureService,
    DatasetProcessor,
    DatasetRepository,
    DatasetService,
    ReleaseRepository,
    ReleaseService,
  ],
  exports: [CandidateService, ReleaseRepository],
})
export class ModelsModule {}
