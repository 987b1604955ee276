import type { HardwareProfile } from '@drover/contracts';

/** What `--profile` claims of a board, in its most sold form. For trials only: a profile made from it says `simulated`. */
export type SimulatedBoard = Pick<HardwareProfile, 'board' | 'arch' | 'cpuModel' | 'cpuCores' | 'memoryBytes'>;

export const BOARD_NAMES = ['jetson-orin', 'jetson-nano', 'pi-5', 'pi-4', 'pi-zero-2', 'generic-arm64', 'mcu'] as const;
export type BoardName = (typeof BOARD_NAMES)[number];

const GIB = 2 ** 30;

export const SIMULATED_BOARDS: Record<BoardName, SimulatedBoard> = {
  'jetson-orin': {
    board: 'NVIDIA Jetson Orin Nano Developer Kit',
    arch: 'arm64',
    cpuModel: 'ARM Cortex-A78AE',
    cpuCores: 6,
    memoryBytes: 8 * GIB,
  },
  'jetson-nano': {
    board: 'NVIDIA Jetson Nano Developer Kit',
    arch: 'arm64',
    cpuModel: 'ARM Cortex-A57',
    cpuCores: 4,
    memoryBytes: 4 * GIB,
  },
  'pi-5': {
    board: 'Raspberry Pi 5 Model B Rev 1.0',
    arch: 'arm64',
    cpuModel: 'ARM Cortex-A76',
    cpuCores: 4,
    memoryBytes: 8 * GIB,
  },
  'pi-4': {
    board: 'Raspberry Pi 4 Model B Rev 1.4',
    arch: 'arm64',
    cpuModel: 'ARM Cortex-A72',
    cpuCores: 4,
    memoryBytes: 4 * GIB,
  },
  'pi-zero-2': {
    board: 'Raspberry Pi Zero 2 W Rev 1.0',
    arch: 'arm64',
    cpuModel: 'ARM Cortex-A53',
    cpuCores: 4,
    memoryBytes: GIB / 2,
  },
  'generic-arm64': {
    board: 'Generic ARM64 board',
    arch: 'arm64',
    cpuModel: 'ARM Cortex-A55',
    cpuCores: 4,
    memoryBytes: 2 * GIB,
  },
  mcu: { board: 'Microcontroller', arch: 'arm', cpuModel: 'ARM Cortex-M7', cpuCores: 1, memoryBytes: 2 ** 20 },
};
