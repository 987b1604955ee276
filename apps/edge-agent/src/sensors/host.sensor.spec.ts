import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { systemClock } from '@drover/runtime';
import { HostSensor } from './host.sensor.ts';
import {
  parseCpuTimes,
  parseDiskCounters,
  parseMemoryUsedPercent,
  parseNetworkCounters,
  ratePerSecond,
} from './host-readings.ts';
import type { Sample } from './sensor.ts';

describe('readings of a Linux machine', () => {
  it('count waiting for the disk as idle and guests once', () => {
    const stat = 'cpu  100 10 50 800 40 0 0 0 60 0\ncpu0 100 10 50 800 40 0 0 0 60 0\n';
    expect(parseCpuTimes(stat)).toEqual({ busy: 160, total: 1_000 });
    expect(parseCpuTimes('nothing')).toBeNull();
  });

  it('take memory that programs could have as free', () => {
    expect(parseMemoryUsedPercent('MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 250 kB\n')).toBe(75);
    expect(parseMemoryUsedPercent('')).toBeNaN();
  });

  it('sum whole disks, in bytes', () => {
    const text = [
      '   8 0 sda 10 0 100 0 20 0 200 0 0 0 0',
      '   8 1 sda1 10 0 100 0 20 0 200 0 0 0 0',
      ' 179 0 mmcblk0 1 0 2 0 1 0 4 0 0 0 0',
    ].join('\n');
    expect(parseDiskCounters(text, new Set(['sda', 'mmcblk0']))).toEqual({ inBytes: 102 * 512, outBytes: 204 * 512 });
  });

  it('sum all interfaces but the loopback', () => {
    const text =
      'Inter-|\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 50 1\nwlan0:7 0 0 0 0 0 0 0 3 0\n';
    expect(parseNetworkCounters(text)).toEqual({ inBytes: 107, outBytes: 53 });
  });

  it('never give a negative rate', () => {
    expect(ratePerSecond(1_000, 3_000, 500)).toBe(4_000);
    expect(ratePerSecond(3_000, 0, 500)).toBe(0);
    expect(ratePerSecond(0, 1, 0)).toBe(0);
  });

  it('survive any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseCpuTimes(text);
        parseMemoryUsedPercent(text);
        parseDiskCounters(text, new Set(['sda']));
        parseNetworkCounters(text);
      }),
    );
  });
});

describe('the host sensor', () => {
  let root: string;
  const put = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  };

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'drover-host-'));
    await put('proc/stat', 'cpu  0 0 0 0 0 0 0 0 0 0\n');
    await put('proc/meminfo', 'MemTotal: 1000 kB\nMemAvailable: 400 kB\n');
    await put('proc/loadavg', '0.52 0.4 0.3 1/100 123\n');
    await put('proc/diskstats', '8 0 sda 0 0 0 0 0 0 0 0 0 0 0\n');
    await put('proc/net/dev', 'eth0: 0 0 0 0 0 0 0 0 0 0\n');
    await mkdir(join(root, 'sys/block/sda'), { recursive: true });
    await put('sys/class/thermal/thermal_zone0/type', 'cpu-thermal\n');
    await put('sys/class/thermal/thermal_zone0/temp', '48300\n');
    await put('sys/class/thermal/thermal_zone1/type', 'cpu-thermal\n');
    await put('sys/class/thermal/thermal_zone1/temp', '50000\n');
    await put('sys/class/thermal/thermal_zone2/type', 'broken\n');
  });
  afterEach(() => rm(root, { recursive: true }));

  it('has a channel for each reading that is there, by distinct names', async () => {
    const { channels, rateHz } = await new HostSensor({ intervalMs: 10, clock: systemClock, root }).open();
    expect(rateHz).toBe(100);
    expect(channels.slice(-2)).toEqual(['temp_cpu-thermal', 'temp_cpu-thermal_2']);
    expect(new Set(channels).size).toBe(channels.length);
    expect(channels).toHaveLength(9);
  });

  it('tells shares and rates since the last sample', async () => {
    const sensor = new HostSensor({ intervalMs: 30, clock: systemClock, root });
    await sensor.open();
    const stop = new AbortController();
    const samples: Sample[] = [];
    await sensor.run((sample) => {
      samples.push(sample);
      if (samples.length === 2) stop.abort();
      else writeFileSync(join(root, 'proc/stat'), 'cpu  25 0 0 75 0 0 0 0 0 0\n');
    }, stop.signal);
    const [cpu, memory, load] = samples[1]!.values;
    expect([cpu, memory]).toEqual([25, 60]);
    expect(load).toBeCloseTo(0.52);
    expect(samples[1]!.values.slice(7)).toEqual(Float32Array.from([48.3, 50]));
  });

  it('refuses a machine without /proc', async () => {
    const sensor = new HostSensor({ intervalMs: 10, clock: systemClock, root: join(root, 'nowhere') });
    await expect(sensor.open()).rejects.toThrow('needs Linux');
  });
});
