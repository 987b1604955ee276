import { setImmediate as nextTurn } from 'node:timers/promises';
import { deviceTopics } from '@drover/contracts';
import type { Logger } from '@drover/runtime';
import { messageOf, systemClock } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import { DeviceGateway } from '../../../platform/broker/device-gateway.ts';
import type { DevicePublisher } from '../../../platform/broker/device-gateway.ts';
import { BatchQueue } from '../../../platform/database/batch-queue.ts';
import { KeyStore } from '../../../platform/keys/key-store.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import type { DeviceRef } from './device-ref.ts';
import { DeliveryRepository } from './delivery.repository.ts';
import type { SeenTwin } from './delivery.repository.ts';
import { InstructionSigner } from './instruction-signer.service.ts';
import type { CommandToSend } from './instruction-signer.service.ts';

/** A command that was sent is sent again, while it is unanswered, at the first status after this time. */
const COMMAND_AGAIN_MS = 60_000;
/** Devices per statement; their documents are in memory together. */
const BATCH = 100;
/** How long the loaded key set counts as the newest. */
const KEYS_FRESH_MS = 1_000;
/** Signatures in one turn of the event loop. */
const SIGNED_AT_ONCE = 10;

/** Signs and sends twins and commands to the devices that are connected here. */
@Injectable()
export class InstructionDelivery {
  readonly #twins = new BatchQueue<SeenTwin>((devices) => this.#sendTwins(devices), BATCH);
  readonly #unanswered = new BatchQueue<DeviceRef>((devices) => this.#sendUnanswered(devices), BATCH);

  #keysCheckedAt = -Infinity;

  constructor(
    private readonly gateway: DeviceGateway,
    private readonly delivery: DeliveryRepository,
    private readonly signer: InstructionSigner,
    private readonly keys: KeyStore,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Sends a device its desired state where that is newer than what it has seen. Resolves when it is on its way. */
  twinNewerThan(device: DeviceRef, seen: SeenTwin['seen']): Promise<void> {
    return this.#twins.add({ fleet: device.fleet, device: device.device, seen });
  }

  /** Sends a device its desired state, whatever it has. */
  twin(device: DeviceRef): Promise<void> {
    return this.twinNewerThan(device, null);
  }

  /** Sends the desired states of many devices that have changed; those that are not connected get theirs when they come. */
  async twins(devices: readonly DeviceRef[]): Promise<void> {
    const connected = devices.filter(({ device }) => this.gateway.publisher?.isConnected(device));
    if (connected.length === 0) return;
    // They may be sent again because the keys have changed.
    this.#keysCheckedAt = -Infinity;
    await Promise.all(connected.map((device) => this.twin(device)));
  }

  /** Sends again what a device has not answered. */
  unansweredCommands(device: DeviceRef): Promise<void> {
    return this.#unanswered.add({ fleet: device.fleet, device: device.device });
  }

  async commands(commands: readonly CommandToSend[]): Promise<void> {
    await Promise.all(commands.map((command) => this.#sendCommand(command)));
  }

  async #sendTwins(devices: readonly SeenTwin[]): Promise<void> {
    const { publisher } = this.gateway;
    if (!publisher) return;
    const wanted = new Map<string, SeenTwin>();
    for (const device of devices) {
      const known = wanted.get(device.device);
      // Asked for twice, once in any case: then in any case.
      if (!known || known.seen !== null) wanted.set(device.device, device);
    }
    const twins = await this.delivery.newerTwins([...wanted.values()]);
    if (twins.length > 0) await this.#refreshKeys();
    for (const [index, twin] of twins.entries()) {
      if (index % SIGNED_AT_ONCE === SIGNED_AT_ONCE - 1) await nextTurn();
      if (!publisher.isConnected(twin.device)) continue;
      const topic = deviceTopics(twin.fleet, twin.device).desired;
      // Not waited for: a device that does not read must not hold up the others.
      void this.#publish(publisher, twin, topic, this.signer.twin(twin), true);
    }
  }

  /** Another process may have rotated the keys. */
  async #refreshKeys(): Promise<void> {
    const now = systemClock.monotonic();
    if (now - this.#keysCheckedAt < KEYS_FRESH_MS) return;
    this.#keysCheckedAt = now;
    if ((await this.delivery.newestKeySet()) > this.keys.keySetVersion) await this.keys.reload();
  }

  async #sendUnanswered(devices: readonly DeviceRef[]): Promise<void> {
    const distinct = new Map(devices.map((device) => [device.device, device]));
    await this.commands(await this.delivery.unansweredCommands([...distinct.values()], COMMAND_AGAIN_MS));
  }

  async #sendCommand(command: CommandToSend): Promise<void> {
    const { publisher } = this.gateway;
    const topic = deviceTopics(command.fleet, command.device).command(command.command.type, command.command.id);
    const taken =
      publisher?.isConnected(command.device) &&
      (await this.#publish(publisher, command, topic, this.signer.command(command), false));
    if (!taken) await this.delivery.commandNotTaken(command.id);
  }

  async #publish(
    publisher: DevicePublisher,
    { device }: DeviceRef,
    topic: string,
    payload: Uint8Array,
    retain: boolean,
  ): Promise<boolean> {
    try {
      return await publisher.publish(topic, payload, { qos: 1, retain });
    } catch (error) {
      this.logger.debug({ device, topic, err: messageOf(error) }, 'An instruction could not be sent');
      return false;
    }
  }
}
