import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hottestZoneC } from './temperature.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'drover-thermal-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function zone(name: string, temp: string | null): Promise<void> {
  const folder = join(root, 'sys/class/thermal', name);
  await mkdir(folder, { recursive: true });
  if (temp !== null) await writeFile(join(folder, 'temp'), temp);
}

describe('the temperature of a board', () => {
  it('is that of its hottest zone', async () => {
    await zone('thermal_zone0', '48312\n');
    await zone('thermal_zone1', '61500\n');
    await zone('cooling_device0', '99000\n');
    expect(await hottestZoneC(root)).toBe(61.5);
  });

  it('leaves out zones that give nothing or nonsense', async () => {
    await zone('thermal_zone0', '-274000\n');
    await zone('thermal_zone1', 'disabled\n');
    await zone('thermal_zone2', null);
    expect(await hottestZoneC(root)).toBeNull();
    await zone('thermal_zone3', '20000');
    expect(await hottestZoneC(root)).toBe(20);
  });

  it('is none where there are no zones', async () => {
    expect(await hottestZoneC(root)).toBeNull();
  });
});
