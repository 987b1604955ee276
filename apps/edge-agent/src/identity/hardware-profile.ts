import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { availableParallelism, release as kernelRelease } from 'node:os';
import type { HardwareProfile } from '@drover/contracts';
import { SIMULATED_BOARDS } from './boards.ts';
import type { BoardName } from './boards.ts';

export interface ProfileParts {
  /** Execution providers that really load. */
  readonly providers: readonly string[];
  readonly agentVersion: string;
  readonly runtimeVersion: string;
  /** Describe this board instead of the real one. */
  readonly simulate?: BoardName | undefined;
  /** Where `/proc` and `/sys` are. */
  readonly root?: string;
}

/**
 * Describes the machine: board from the device tree or, on PCs, DMI; processor from `/proc/cpuinfo`; memory from
 * `/proc/meminfo`. What cannot be read is `unknown`, never an error: a strange board still has to run.
 */
export async function describeHardware(parts: ProfileParts): Promise<HardwareProfile> {
  const root = parts.root ?? '/';
  const read = async (path: string): Promise<string> => {
    try {
      // The device tree ends its texts with a NUL.
      return (await readFile(join(root, path), 'utf8')).replaceAll('\0', '').trim();
    } catch {
      return '';
    }
  };
  const versions = {
    providers: [...parts.providers],
    agentVersion: parts.agentVersion,
    runtimeVersion: parts.runtimeVersion,
    os: (parseOsName(await read('etc/os-release')) || `Linux ${kernelRelease()}`).slice(0, 200),
  };
  if (parts.simulate !== undefined) return { ...SIMULATED_BOARDS[parts.simulate], ...versions, simulated: true };

  const cpuinfo = await read('proc/cpuinfo');
  const dmi = [await read('sys/class/dmi/id/sys_vendor'), await read('sys/class/dmi/id/product_name')]
    .filter((part) => part !== '')
    .join(' ');
  const board = (await read('proc/device-tree/model')) || dmi || 'unknown';
  return {
    board: board.slice(0, 200),
    arch: process.arch === 'x64' ? 'x64' : process.arch === 'arm64' ? 'arm64' : 'arm',
    cpuModel: parseCpuModel(cpuinfo).slice(0, 200),
    cpuCores: availableParallelism(),
    memoryBytes: parseMemoryTotal(await read('proc/meminfo')),
    ...versions,
    simulated: false,
  };
}

/** `PRETTY_NAME` of os-release. */
export function parseOsName(text: string): string {
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? '';
}

/** `model name` where the kernel gives one (x86); else what ARM kernels say of the part. */
export function parseCpuModel(cpuinfo: string): string {
  const named = /^model name\s*:\s*(.+)$/m.exec(cpuinfo)?.[1] ?? /^Model\s*:\s*(.+)$/m.exec(cpuinfo)?.[1];
  if (named !== undefined) return named.trim();
  const part = /^CPU part\s*:\s*(0x[0-9a-f]+)$/im.exec(cpuinfo)?.[1]?.toLowerCase();
  if (part === undefined) return 'unknown';
  return ARM_PARTS[part] ?? `ARM part ${part}`;
}

/** Main ID register part numbers (ARM Technical Reference Manuals) of cores found on supported boards. */
const ARM_PARTS: Readonly<Record<string, string>> = {
  '0xd03': 'ARM Cortex-A53',
  '0xd04': 'ARM Cortex-A35',
  '0xd05': 'ARM Cortex-A55',
  '0xd07': 'ARM Cortex-A57',
  '0xd08': 'ARM Cortex-A72',
  '0xd09': 'ARM Cortex-A73',
  '0xd0b': 'ARM Cortex-A76',
  '0xd42': 'ARM Cortex-A78AE',
};

/** Total memory in bytes, 0 where unknown. */
export function parseMemoryTotal(meminfo: string): number {
  const kib = /^MemTotal:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  return kib === undefined ? 0 : Number(kib) * 1024;
}
