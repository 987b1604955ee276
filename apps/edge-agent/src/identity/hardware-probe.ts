import type { HardwareProfile } from '@drover/contracts';
import { DEFAULT_RUNTIME_PACKAGE, InferenceHost } from '@drover/inference';
import type { InferenceHostOptions } from '@drover/inference';
import { messageOf } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { AGENT_VERSION, runtimeVersion } from '../version.ts';
import type { BoardName } from './boards.ts';
import { describeHardware } from './hardware-profile.ts';

/** Providers worth trying, the best first. What else builds claim runs on the CPU under another name. */
const PROVIDERS = ['tensorrt', 'cuda', 'cpu'];

export type WorkingProviders = (names: readonly string[]) => Promise<readonly string[]>;

/** Describes the machine once, and remembers: trying providers means loading libraries. */
export class HardwareProbe {
  readonly #parts: { simulate: BoardName | undefined; runtimePackage: string | undefined; logger: Logger };
  #profile: Promise<HardwareProfile> | null = null;

  constructor(parts: { simulate: BoardName | undefined; runtimePackage: string | undefined; logger: Logger }) {
    this.#parts = parts;
  }

  /** @param working asks an inference that runs already; without it one is started for the question */
  profile(working: WorkingProviders): Promise<HardwareProfile> {
    this.#profile ??= this.#describe(working);
    return this.#profile;
  }

  async #describe(working: WorkingProviders): Promise<HardwareProfile> {
    const { simulate, runtimePackage, logger } = this.#parts;
    let providers: readonly string[] = [];
    try {
      providers = await working(PROVIDERS);
    } catch (error) {
      logger.error({}, `no execution provider works: ${messageOf(error)}`);
    }
    return describeHardware({
      providers,
      agentVersion: AGENT_VERSION,
      runtimeVersion: runtimeVersion(runtimePackage ?? DEFAULT_RUNTIME_PACKAGE),
      simulate,
    });
  }
}

/** Asks an inference worker that lives only for the question: before there is an identity nothing else needs one. */
export function briefInference(options: Omit<InferenceHostOptions, 'listener'>): WorkingProviders {
  return async (names) => {
    const host = new InferenceHost({ ...options, listener: { onAnomaly: () => undefined } });
    await host.start();
    try {
      const probes = await host.probeProviders(names);
      return probes.filter((probe) => probe.reason === null).map((probe) => probe.provider);
    } finally {
      await host.stop();
    }
  };
}
