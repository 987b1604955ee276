import { describe, expect, it } from 'vitest';
import { HEALTHY, PUMP_CHANNELS, Pump } from './pump.ts';
import type { FaultLevels } from './pump.ts';
import { RandomSource } from './random-source.ts';

/** Mean reading of each channel over 400 s. */
function run(faults: FaultLevels): Record<string, number> {
  const pump = new Pump(new RandomSource(5));
  const sums = PUMP_CHANNELS.map(() => 0);
  for (let second = 0; second < 400; second += 1) pump.step(faults).forEach((value, c) => (sums[c]! += value / 400));
  return Object.fromEntries(PUMP_CHANNELS.map((name, c) => [name, sums[c]!]));
}

describe('the simulated pump', () => {
  const healthy = run(HEALTHY);

  it('runs at plausible values', () => {
    expect(healthy['flow_m3_h']).toBeGreaterThan(14);
    expect(healthy['pressure_bar']).toBeGreaterThan(1.5);
    expect(healthy['motor_current_a']).toBeGreaterThan(2);
  });

  it('moves less water at more pressure and less current when the valve closes', () => {
    const throttled = run({ ...HEALTHY, throttled: 1 });
    expect(throttled['flow_m3_h']).toBeLessThan(healthy['flow_m3_h']! * 0.7);
    expect(throttled['pressure_bar']).toBeGreaterThan(healthy['pressure_bar']! * 1.15);
    expect(throttled['motor_current_a']).toBeLessThan(healthy['motor_current_a']! * 0.95);
  });

  it('shakes and loses pressure when it cavitates', () => {
    const cavitating = run({ ...HEALTHY, cavitation: 1 });
    expect(cavitating['vibration_x_mm_s']).toBeGreaterThan(healthy['vibration_x_mm_s']! * 1.5);
    expect(cavitating['pressure_bar']).toBeLessThan(healthy['pressure_bar']!);
  });

  it('shakes and heats with a worn bearing, and moves the same water', () => {
    const worn = run({ ...HEALTHY, bearing: 1 });
    expect(worn['vibration_y_mm_s']).toBeGreaterThan(healthy['vibration_y_mm_s']! * 1.5);
    expect(worn['temperature_c']).toBeGreaterThan(healthy['temperature_c']! + 8);
    expect(worn['flow_m3_h']).toBeCloseTo(healthy['flow_m3_h']!, 1);
  });
});

function draw(seed: number): number[] {
  const random = new RandomSource(seed);
  return Array.from({ length: 5 }, () => random.uniform());
}

describe('RandomSource', () => {
  it('repeats itself for a seed and differs between seeds', () => {
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });

  it('has the moments of what it claims to draw', () => {
    const random = new RandomSource(7);
    const normals = Array.from({ length: 20_000 }, () => random.normal());
    const mean = normals.reduce((sum, x) => sum + x, 0) / normals.length;
    const variance = normals.reduce((sum, x) => sum + (x - mean) ** 2, 0) / normals.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.04);
  });
});
