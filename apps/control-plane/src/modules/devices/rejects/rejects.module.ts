import { Module } from '@nestjs/common';
import { RejectsController } from './rejects.controller.ts';
import { RejectsUpkeep } from './rejects-upkeep.service.ts';
import { RejectsRepository } from './rejects.repository.ts';
import { RejectsService } from './rejects.service.ts';

@Module({
  controllers: [RejectsController],
  providers: [RejectsRepository, RejectsService, RejectsUpkeep],
  exports: [RejectsService],
})
export class RejectsModule {}
