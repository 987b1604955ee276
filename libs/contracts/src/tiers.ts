import { z } from 'zod';

/** Classes of hardware, from the largest to the smallest. */
export const TIERS = [
  'jetson-orin',
  'jetson-nano',
  'pi-5',
  'pi-4',
  'pi-zero-2',
  'generic-x64',
  'generic-arm64',
  'mcu',
] as const;
export const tierSchema = z.enum(TIERS);
export type Tier = z.infer<typeof tierSchema>;

export const ARCHITECTURES = ['x64', 'arm64', 'arm'] as const;

/** What an agent reports of the machine it runs on. The tier is derived from it. */
export const hardwareProfileSchema = z.object({
  /** The board's name from the device tree or DMI, e.g. `Raspberry Pi 4 Model B Rev 1.4`. */
  board: z.string().max(200),
  arch: z.enum(ARCHITECTURES),
  cpuModel: z.string().max(200),
  cpuCores: z.number().int().min(1).max(4096),
  memoryBytes: z.number().int().min(0),
  /** Execution providers that really load, in the agent's order of preference. */
  providers: z.array(z.string().max(32)).max(16),
  os: z.string().max(200),
  agentVersion: z.string().max(64),
  runtimeVersion: z.string().max(64),
  /** True where `--profile` describes another board than the one the agent runs on. */
  simulated: z.boolean(),
});
export type HardwareProfile = z.infer<typeof hardwareProfileSchema>;

/** Derives the tier from a hardware profile; what matches no known board becomes a generic tier by architecture and memory. */
export function tierOf(profile: Pick<HardwareProfile, 'board' | 'arch' | 'memoryBytes'>): Tier {
  const board = profile.board.toLowerCase();
  if (board.includes('orin')) return 'jetson-orin';
  if (board.includes('jetson')) return 'jetson-nano';
  if (board.includes('raspberry pi 5') || board.includes('compute module 5')) return 'pi-5';
  if (board.includes('raspberry pi 4') || board.includes('compute module 4')) return 'pi-4';
  if (board.includes('raspberry pi zero 2') || board.includes('raspberry pi 3')) return 'pi-zero-2';
  if (profile.memoryBytes < 64 * 2 ** 20) return 'mcu';
  return profile.arch === 'x64' ? 'generic-x64' : 'generic-arm64';
}

/**
 * Variants a tier prefers before anything was measured, best first. A starting order only: the device picks by measuring.
 */
export const TIER_PRECISION_ORDER: Record<Tier, readonly Precision[]> = {
  'jetson-orin': ['fp16', 'fp32', 'int8'],
  'jetson-nano': ['fp16', 'fp32', 'int8'],
  'pi-5': ['int8', 'int8-dynamic', 'fp32', 'int4'],
  'pi-4': ['int8', 'int8-dynamic', 'fp32', 'int4'],
  'pi-zero-2': ['int8', 'int4', 'int8-dynamic', 'fp32'],
  'generic-x64': ['fp32', 'int8', 'int8-dynamic', 'int4'],
  'generic-arm64': ['int8', 'int8-dynamic', 'fp32', 'int4'],
  mcu: ['int8', 'int4'],
};

export const PRECISIONS = ['fp32', 'fp16', 'int8', 'int8-dynamic', 'int4'] as const;
export const precisionSchema = z.enum(PRECISIONS);
export type Precision = z.infer<typeof precisionSchema>;
