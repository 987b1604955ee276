import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hardwareProfileSchema, tierOf } from '@drover/contracts';
import { BOARD_NAMES } from './boards.ts';
import { describeHardware, parseCpuModel } from './hardware-profile.ts';

const parts = { providers: ['cpu'], agentVersion: '1.0.0', runtimeVersion: 'onnxruntime 1.30.0' };
let root: string;
beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), 'drover-hardware-'))));
afterEach(() => rm(root, { recursive: true }));

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

describe('the hardware profile', () => {
  it('knows a board by its device tree', async () => {
    await put('proc/device-tree/model', 'Raspberry Pi 4 Model B Rev 1.4\0');
    await put('proc/cpuinfo', 'processor : 0\nCPU part : 0xd08\n');
    await put('proc/meminfo', 'MemTotal:        3884368 kB\n');
    await put('etc/os-release', 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n');
    const profile = await describeHardware({ ...parts, root });
    expect(profile).toMatchObject({
      board: 'Raspberry Pi 4 Model B Rev 1.4',
      cpuModel: 'ARM Cortex-A72',
      memoryBytes: 3_884_368 * 1_024,
      os: 'Debian GNU/Linux 13 (trixie)',
      simulated: false,
    });
    expect(tierOf(profile)).toBe('pi-4');
  });

  it('knows a PC by its DMI', async () => {
    await put('sys/class/dmi/id/sys_vendor', 'LENOVO\n');
    await put('sys/class/dmi/id/product_name', '20XW\n');
    expect((await describeHardware({ ...parts, root })).board).toBe('LENOVO 20XW');
  });

  it('of a machine that tells nothing is still one', async () => {
    const profile = await describeHardware({ ...parts, root });
    expect(hardwareProfileSchema.safeParse(profile).success).toBe(true);
    expect(profile).toMatchObject({ board: 'unknown', cpuModel: 'unknown', memoryBytes: 0 });
  });

  it.each(BOARD_NAMES)('of a simulated %s says so and is of that tier', async (board) => {
    const profile = await describeHardware({ ...parts, root, simulate: board });
    expect(hardwareProfileSchema.parse(profile).simulated).toBe(true);
    expect(tierOf(profile)).toBe(board);
  });

  it('names processors by model, else by part', () => {
    expect(parseCpuModel('model name\t: Intel(R) N100\n')).toBe('Intel(R) N100');
    expect(parseCpuModel('CPU part\t: 0xabc\n')).toBe('ARM part 0xabc');
  });
});
