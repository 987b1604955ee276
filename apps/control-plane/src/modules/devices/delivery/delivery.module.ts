import { Injectable, Module } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap, OnModuleInit } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { RejectsModule } from '../rejects/rejects.module.ts';
import { DeliveryRepository } from './delivery.repository.ts';
import { DeviceConversation } from './device-conversation.service.ts';
import { InstructionDelivery } from './instruction-delivery.service.ts';
import { InstructionSigner } from './instruction-signer.service.ts';
import { OutboxDrain } from './outbox-drain.service.ts';
import { PresenceRepository } from './presence.repository.ts';
import { Presence } from './presence.service.ts';

/** Presence and the outbox belong to the gateway; the handlers are registered before it listens. */
@Injectable()
export class DeliveryLifecycle implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(
    private readonly config: Config,
    private readonly conversation: DeviceConversation,
    private readonly presence: Presence,
    private readonly drain: OutboxDrain,
  ) {}

  onModuleInit(): void {
    this.conversation.register();
  }

  onApplicationBootstrap(): void {
    if (!this.config.hasRole('gateway')) return;
    this.presence.start();
    this.drain.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.drain.stop();
    await this.presence.stop();
  }
}

@Module({
  imports: [RejectsModule],
  providers: [
    DeliveryLifecycle,
    DeliveryRepository,
    DeviceConversation,
    InstructionDelivery,
    InstructionSigner,
    OutboxDrain,
    Presence,
    PresenceRepository,
  ],
})
export class DeliveryModule {}
