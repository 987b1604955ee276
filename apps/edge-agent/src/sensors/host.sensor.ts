import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '@drover/runtime';
import type { Clock } from '@drover/runtime';
import {
  parseCpuTimes,
  parseDiskCounters,
  parseLoad,
  parseMemoryUsedPercent,
  parseNetworkCounters,
  ratePerSecond,
} from './host-readings.ts';
import type { Counters, CpuTimes } from './host-readings.ts';
import { SensorUnreadableError } from './sensor.ts';
import type { Sample, Sensor, SensorInfo } from './sensor.ts';

const FIXED_CHANNELS = [
  'cpu_percent',
  'memory_percent',
  'load1',
  'disk_read_bps',
  'disk_write_bps',
  'net_rx_bps',
  'net_tx_bps',
] as const;

interface Reading {
  readonly atMs: number;
  readonly cpu: CpuTimes;
  readonly disk: Counters;
  readonly net: Counters;
}

/**
 * The machine that the agent runs on, from Linux' /proc and /sys: CPU and memory in percent, load, disk and network in bytes
 * per second (means since the last sample), and each thermal zone in °C.
 */
export class HostSensor implements Sensor {
  readonly #intervalMs: number;
  readonly #clock: Clock;
  readonly #root: string;
  #thermalZones: string[] = [];
  #disks: ReadonlySet<string> = new Set();

  /** @param root where `/proc` and `/sys` are */
  constructor(options: { intervalMs: number; clock: Clock; root?: string }) {
    this.#intervalMs = options.intervalMs;
    this.#clock = options.clock;
    this.#root = options.root ?? '/';
  }

  async open(): Promise<SensorInfo> {
    if (parseCpuTimes(await this.#text('proc/stat')) === null) {
      throw new SensorUnreadableError('The host sensor needs Linux: /proc/stat cannot be read');
    }
    const blocks = await this.#list('sys/block');
    this.#disks = new Set(blocks.filter((name) => !/^(loop|ram|zram|dm-|md)/.test(name)));
    const names: string[] = [];
    this.#thermalZones = [];
    const zones = (await this.#list('sys/class/thermal')).filter((name) => name.startsWith('thermal_zone'));
    for (const zone of zones.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }))) {
      const folder = `sys/class/thermal/${zone}`;
      if (Number.isNaN(Number.parseInt(await this.#text(`${folder}/temp`), 10))) continue;
      const type = (await this.#text(`${folder}/type`)).trim().replaceAll(/[^A-Za-z0-9_-]/g, '_') || zone;
      const taken = names.filter((name) => name === `temp_${type}` || name.startsWith(`temp_${type}_`)).length;
      names.push((taken === 0 ? `temp_${type}` : `temp_${type}_${taken + 1}`).slice(0, 64));
      this.#thermalZones.push(`${folder}/temp`);
    }
    return { channels: [...FIXED_CHANNELS, ...names], rateHz: 1_000 / this.#intervalMs };
  }

  async run(onSample: (sample: Sample) => void, signal: AbortSignal): Promise<void> {
    let before = await this.#read();
    let dueMs = before.atMs;
    while (!signal.aborted) {
      // Due times are a grid, so that reading slowly does not stretch the interval; after a pause the grid starts anew.
      dueMs = Math.max(dueMs + this.#intervalMs, this.#clock.monotonic());
      try {
        await sleep(dueMs - this.#clock.monotonic(), signal);
      } catch {
        return;
      }
      const after = await this.#read();
      const values = await this.#values(before, after);
      before = after;
      if (!signal.aborted) onSample({ timeMs: this.#clock.now(), values });
    }
  }

  async #read(): Promise<Reading> {
    const [stat, diskstats, netdev] = await Promise.all([
      this.#text('proc/stat'),
      this.#text('proc/diskstats'),
      this.#text('proc/net/dev'),
    ]);
    return {
      atMs: this.#clock.monotonic(),
      cpu: parseCpuTimes(stat) ?? { busy: 0, total: 0 },
      disk: parseDiskCounters(diskstats, this.#disks),
      net: parseNetworkCounters(netdev),
    };
  }

  async #values(before: Reading, after: Reading): Promise<Float32Array> {
    const elapsedMs = after.atMs - before.atMs;
    const ticks = after.cpu.total - before.cpu.total;
    const values = [
      ticks > 0 ? (100 * Math.max(0, after.cpu.busy - before.cpu.busy)) / ticks : Number.NaN,
      parseMemoryUsedPercent(await this.#text('proc/meminfo')),
      parseLoad(await this.#text('proc/loadavg')),
      ratePerSecond(before.disk.inBytes, after.disk.inBytes, elapsedMs),
      ratePerSecond(before.disk.outBytes, after.disk.outBytes, elapsedMs),
      ratePerSecond(before.net.inBytes, after.net.inBytes, elapsedMs),
      ratePerSecond(before.net.outBytes, after.net.outBytes, elapsedMs),
    ];
    for (const zone of this.#thermalZones) values.push(Number.parseInt(await this.#text(zone), 10) / 1_000);
    return Float32Array.from(values);
  }

  /** A file that cannot be read is empty, and what it would have told is NaN or 0: one driver's trouble must not stop the rest. */
  async #text(path: string): Promise<string> {
    try {
      return await readFile(join(this.#root, path), 'utf8');
    } catch {
      return '';
    }
  }

  async #list(path: string): Promise<string[]> {
    try {
      return await readdir(join(this.#root, path));
    } catch {
      return [];
    }
  }
}
