import type { Clock } from '@drover/runtime';
import type { SensorConfig } from '../config/agent-config.schema.ts';
import { CsvSensor } from './csv.sensor.ts';
import { HostSensor } from './host.sensor.ts';
import type { Sensor } from './sensor.ts';

/** The sensor that a section of the configuration describes. */
export function createSensor(config: SensorConfig, clock: Clock): Sensor {
  switch (config.type) {
    case 'csv':
      return new CsvSensor({ path: config.path, speed: config.speed, loop: config.loop, time: config.time, clock });
    case 'host':
      return new HostSensor({ intervalMs: config.intervalMs, clock });
  }
}
