import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

const PLAUSIBLE_C = { min: -60, max: 200 };

/**
 * Temperature of the hottest thermal zone, °C; null where the board tells none. Zones give thousandths of a degree
 * (Documentation/ABI/testing/sysfs-class-thermal of Linux); one that is switched off gives an error or nonsense.
 *
 * @param root where `/sys` is
 */
export async function hottestZoneC(root = '/'): Promise<number | null> {
  const folder = join(root, 'sys/class/thermal');
  const zones = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith('thermal_zone'));
  const readings = await Promise.all(zones.map((zone) => readFile(join(folder, zone, 'temp'), 'utf8').catch(() => '')));
  const degrees = readings
    .filter((text) => /^-?\d+\s*$/.test(text))
    .map((text) => Number(text) / 1_000)
    .filter((value) => value > PLAUSIBLE_C.min && value < PLAUSIBLE_C.max);
  return degrees.length === 0 ? null : Math.max(...degrees);
}
