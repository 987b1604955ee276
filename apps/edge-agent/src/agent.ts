import { systemClock } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import type { InferenceHostOptions } from '@drover/inference';
import type { AgentConfig } from './config/agent-config.schema.ts';
import { DataFolder } from './data-folder.ts';
import { Device } from './device.ts';
import { EnrolmentImpossibleError, EnrolmentService } from './identity/enrolment.service.ts';
import { HardwareProbe, briefInference } from './identity/hardware-probe.ts';
import { DecommissionedError, IdentityStore } from './identity/identity.store.ts';
import { openSensors } from './sensors/open-sensors.ts';

export interface AgentParts {
  readonly config: AgentConfig;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** The inference worker's script, where the agent was bundled. */
  readonly workerUrl?: URL | undefined;
}

/** From a configuration to a device at work. */
export class Agent {
  readonly #config: AgentConfig;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #folder: DataFolder;
  readonly #identities: IdentityStore;
  readonly #inference: Omit<InferenceHostOptions, 'listener'>;
  readonly #probe: HardwareProbe;
  readonly #enrolment: EnrolmentService;

  constructor({ config, logger, clock, workerUrl }: AgentParts) {
    this.#config = config;
    this.#logger = logger;
    this.#clock = clock ?? systemClock;
    this.#folder = new DataFolder(config.dataDir);
    this.#identities = new IdentityStore(config.dataDir);
    const runtimePackage = config.inference.runtime;
    this.#inference = { runtimePackage, workerUrl };
    this.#probe = new HardwareProbe({ simulate: config.profile, runtimePackage, logger });
    this.#enrolment = new EnrolmentService({
      config,
      store: this.#identities,
      profile: () => this.#probe.profile(briefInference(this.#inference)),
      logger,
      clock: this.#clock,
    });
  }

  /**
   * Enrols where that was not done yet, then works until the signal aborts.
   *
   * @throws InvalidConfigError, EnrolmentImpossibleError, DataFolderUnusableError, DataFolderInUseError; DecommissionedError
   *   after the server has told the device to erase itself
   */
  async run(signal: AbortSignal): Promise<void> {
    const release = await this.#folder.claim();
    try {
      const sensors = await openSensors(this.#config.sensors, this.#clock);
      const identity = await this.#enrolment.identity(signal);
      const device = new Device({
        config: this.#config,
        folder: this.#folder,
        identity,
        enrolment: this.#enrolment,
        sensors,
        inference: this.#inference,
        profile: (working) => this.#probe.profile(working),
        clock: this.#clock,
        logger: this.#logger,
      });
      if ((await device.run(signal)) === 'erase') await this.#erase(identity.device);
    } finally {
      release();
    }
  }

  /**
   * Enrols and ends.
   *
   * @param again also where there is an identity already: what belongs to another device or fleet is then removed
   */
  async enrol(again: boolean, signal: AbortSignal): Promise<void> {
    const release = await this.#folder.claim();
    try {
      const known = again ? await this.#identities.load().catch(() => null) : null;
      if (!again) {
        const { fleet, device } = await this.#enrolment.identity(signal);
        this.#logger.info({ fleet, device }, 'this device is enrolled');
        return;
      }
      if (this.#config.url === undefined || this.#config.token === undefined) {
        throw new EnrolmentImpossibleError('Enrolling again needs --url and --token (or DROVER_URL and DROVER_TOKEN)');
      }
      const identity = await this.#enrolment.enrol(signal);
      const same = known?.fleet === identity.fleet && known.device === identity.device;
      // Messages and models of another device, or another fleet, must not be passed off as this one's.
      if (!same) await this.#folder.erase();
      else await this.#folder.forgetTwin();
    } finally {
      release();
    }
  }

  async #erase(device: string): Promise<never> {
    const at = new Date(this.#clock.now()).toISOString();
    await this.#identities.erase({ device, at });
    await this.#folder.erase();
    throw new DecommissionedError(`This device (${device}) was decommissioned: keys, models and messages are erased`);
  }
}
