import { InvalidConfigError, messageOf } from '@drover/runtime';
import type { Clock } from '@drover/runtime';
import type { SensorConfig } from '../config/agent-config.schema.ts';
import { createSensor } from './create-sensor.ts';
import type { Sensor, SensorInfo } from './sensor.ts';

export interface OpenSensor extends SensorInfo {
  readonly name: string;
  readonly sensor: Sensor;
}

/**
 * Opens every configured sensor.
 *
 * @throws InvalidConfigError naming each that cannot be opened
 */
export async function openSensors(
  configs: Readonly<Record<string, SensorConfig>>,
  clock: Clock,
): Promise<OpenSensor[]> {
  const problems: { path: string; message: string }[] = [];
  const opened: OpenSensor[] = [];
  for (const [name, config] of Object.entries(configs)) {
    const sensor = createSensor(config, clock);
    try {
      opened.push({ name, sensor, ...(await sensor.open()) });
    } catch (error) {
      problems.push({ path: `sensors.${name}`, message: messageOf(error) });
    }
  }
  if (problems.length === 0) return opened;
  const lines = problems.map(({ path, message }) => `  ${path}: ${message}`);
  throw new InvalidConfigError(`Sensors that cannot be opened:\n${lines.join('\n')}`, { problems });
}
