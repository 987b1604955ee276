import {
  commandStatusMessageSchema,
  decodePayload,
  deviceTopics,
  encodeJson,
  getTimeSchema,
  statusMessageSchema,
} from '@drover/contracts';
import type { AckMessage } from '@drover/contracts';
import type { Logger } from '@drover/runtime';
import { messageOf, problemsOf, systemClock } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { DeviceGateway } from '../../../platform/broker/device-gateway.ts';
import type { DeviceMessage, DevicePrincipal } from '../../../platform/broker/device-gateway.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { RejectsService } from '../rejects/rejects.service.ts';
import { DeliveryRepository } from './delivery.repository.ts';
import { InstructionDelivery } from './instruction-delivery.service.ts';
import { OutboxDrain } from './outbox-drain.service.ts';
import { Presence } from './presence.service.ts';

/** What devices say about themselves, and what they ask for. */
@Injectable()
export class DeviceConversation {
  constructor(
    private readonly gateway: DeviceGateway,
    private readonly presence: Presence,
    private readonly instructions: InstructionDelivery,
    private readonly delivery: DeliveryRepository,
    private readonly drain: OutboxDrain,
    private readonly rejects: RejectsService,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  register(): void {
    this.gateway.observe((principal) => this.presence.heard(principal));
    this.gateway.register('status', (message) => this.#status(message));
    this.gateway.register('command-status', (message) => this.#commandStatus(message));
    this.gateway.register('get:twin', (message) =>
      this.#bestEffort(message, this.instructions.twin(message.principal)),
    );
    this.gateway.register('get:time', (message) => this.#time(message));
  }

  async #status(message: DeviceMessage): Promise<void> {
    const { principal } = message;
    const status = await this.#read(statusMessageSchema, message);
    if (!status) return;
    if (!status.online) return this.presence.offline(principal, message.will ? 'will' : 'status');
    // A will that says "online" is no sign of life.
    if (message.will) return;
    await this.presence.online(principal);
    const { publisher } = this.gateway;
    if (!publisher) return;
    await this.#bestEffort(message, this.#ack(principal, { mode: publisher.acknowledgement }));
    await this.#bestEffort(message, this.instructions.twinNewerThan(principal, status.desiredSeen ?? null));
    await this.#bestEffort(message, this.instructions.unansweredCommands(principal));
  }

  async #commandStatus(message: DeviceMessage): Promise<void> {
    const { principal, parsed } = message;
    const answer = await this.#read(commandStatusMessageSchema, message);
    if (!answer || parsed.kind !== 'command-status') return;
    const { fleet, device } = principal;
    const { type, id } = parsed;
    const text = answer.message?.replaceAll('\u0000', '\ufffd').toWellFormed() ?? null;
    const found = await this.delivery.finishCommand({ fleet, device, type, id, status: answer.status, message: text });
    // A disconnect may have waited for it.
    if (found) this.drain.wake();
  }

  async #time(message: DeviceMessage): Promise<void> {
    const question = await this.#read(getTimeSchema, message);
    if (!question) return;
    const time = { sentAt: question.sentAt, serverAt: systemClock.now() };
    await this.#bestEffort(message, this.#ack(message.principal, { time }));
  }

  async #ack({ fleet, device }: DevicePrincipal, ack: AckMessage): Promise<void> {
    await this.gateway.publisher?.publish(deviceTopics(fleet, device).ack, encodeJson(ack), { qos: 1 });
  }

  /** What the message says, or undefined after it was set aside as invalid. */
  async #read<T extends z.ZodType>(schema: T, message: DeviceMessage): Promise<z.output<T> | undefined> {
    let reason: string;
    try {
      const parsed = schema.safeParse(decodePayload(message.payload));
      if (parsed.success) return parsed.data;
      reason = problemsOf(parsed.error)
        .map(({ path, message: text }) => (path === '' ? text : `${path}: ${text}`))
        .join('; ');
    } catch (error) {
      reason = messageOf(error);
    }
    const { principal, topic, payload } = message;
    const { fleet, device } = principal;
    await this.rejects.add({ fleet, device, topic, code: 'invalid-message', message: reason, payload });
    return undefined;
  }

  /** An answer that fails is asked for again; the question must not end the connection. */
  async #bestEffort({ principal, topic }: DeviceMessage, answer: Promise<void>): Promise<void> {
    try {
      await answer;
    } catch (error) {
      this.logger.debug({ device: principal.device, topic, err: messageOf(error) }, 'A device could not be answered');
    }
  }
}
