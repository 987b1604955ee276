import type { RandomSource } from './random-source.ts';

/** How far each fault has gone, 0 to 1. */
export interface FaultLevels {
  /** The valve after the pump is partly closed. */
  readonly throttled: number;
  /** Too little pressure at the inlet: vapour bubbles form and collapse. */
  readonly cavitation: number;
  /** A worn bearing: it shakes, and heats by friction. */
  readonly bearing: number;
}

export const HEALTHY: FaultLevels = { throttled: 0, cavitation: 0, bearing: 0 };

export const PUMP_CHANNELS = [
  'vibration_x_mm_s',
  'vibration_y_mm_s',
  'motor_current_a',
  'pressure_bar',
  'temperature_c',
  'flow_m3_h',
] as const;

/** Head of the pump at full speed with no flow, metres; and how it falls with the flow's square, m/(m³/h)². */
const SHUTOFF_HEAD_M = 32;
const PUMP_SLOPE = 0.0247;
/** What the pump works against: a height, and friction that grows with the flow's square. */
const STATIC_HEAD_M = 4;
const PIPE_FRICTION = 0.0617;
const BEST_FLOW_M3_H = 18;
const BEST_EFFICIENCY = 0.68;
/** ρ·g / 3.6e6: kilowatts of water per m³/h and metre. */
const HYDRAULIC_KW = 0.002725;
const BAR_PER_METRE = 0.0981;
/** Part of the motor's current that makes its field, and amperes per kilowatt at the shaft (three phases, 400 V). */
const FIELD_CURRENT_A = 1.6;
const AMPERES_PER_KW = 1.64;
const AMBIENT_C = 22;
const WARMTH_C_PER_KW = 5;
/** The housing follows its heat with this time constant. */
const THERMAL_S = 60;
/** A bearing's friction is nearer to the sensor. */
const FRICTION_C = 16;
const FRICTION_S = 30;
const STILL_HOT_C = 0.5;
const DRIVE_S = 4;
const SPEEDS = [0.9, 0.95, 1] as const;

/**
 * A centrifugal pump in a circuit, seen once per second. Flow and pressure are where the pump's curve (it follows the
 * affinity laws: head with the speed's square) meets the circuit's; the current follows from the shaft's power; what
 * is lost there warms the housing; vibration is least near the best flow and grows with the speed's square.
 */
export class Pump {
  readonly #random: RandomSource;
  #speed: number = 1;
  #setpoint: number = 1;
  #untilNextSetpoint = 0;
  #temperatureC = Number.NaN;
  #frictionC = 0;
  /** Slow disturbances: the water's level, the room's temperature. */
  #level = 0;
  #room = 0;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  /** A bearing's heat that has not gone yet: the machine is not healthy before. */
  get stillHot(): boolean {
    return this.#frictionC > STILL_HOT_C;
  }

  /** One second passes. @returns one value per channel of `PUMP_CHANNELS` */
  step(faults: FaultLevels): number[] {
    const random = this.#random;
    this.#followSetpoint();
    this.#level += -this.#level / 20 + 0.04 * random.normal();
    this.#room += -this.#room / 60 + 0.03 * random.normal();
    const n2 = this.#speed ** 2;
    // Bubbles take head away, and not evenly.
    const head0 = SHUTOFF_HEAD_M * n2 * (1 - faults.cavitation * (0.12 + 0.04 * random.normal()));
    const opening = 1 - 0.55 * faults.throttled;
    const flow = Math.sqrt(
      Math.max(0, head0 - STATIC_HEAD_M - this.#level) / (PUMP_SLOPE + PIPE_FRICTION / opening ** 2),
    );
    const head = head0 - PUMP_SLOPE * flow ** 2;
    const offBest = flow / (BEST_FLOW_M3_H * this.#speed) - 1;
    const efficiency = BEST_EFFICIENCY * (1 - 0.36 * offBest ** 2) * (1 - 0.06 * faults.cavitation);
    const shaftKw = (HYDRAULIC_KW * flow * head) / efficiency + 0.09 * faults.bearing;
    const current = Math.hypot(FIELD_CURRENT_A, AMPERES_PER_KW * shaftKw);
    const warmth = AMBIENT_C + this.#room + WARMTH_C_PER_KW * shaftKw;
    if (Number.isNaN(this.#temperatureC)) this.#temperatureC = warmth;
    this.#temperatureC += (warmth - this.#temperatureC) / THERMAL_S;
    this.#frictionC += (FRICTION_C * faults.bearing - this.#frictionC) / FRICTION_S;
    const bubbles = faults.cavitation * 1.4 * Math.exp(0.35 * random.normal());
    const shake = n2 * (1 + 2.2 * offBest ** 2);
    return [
      1.4 * shake + bubbles + 0.5 * faults.bearing + 0.07 * random.normal(),
      1.1 * shake + 0.8 * bubbles + 1.1 * faults.bearing * (1 + 0.15 * random.normal()) + 0.06 * random.normal(),
      current + 0.02 * random.normal(),
      head * BAR_PER_METRE + 0.012 * random.normal(),
      this.#temperatureC + this.#frictionC + 0.05 * random.normal(),
      flow + (0.1 + 0.3 * faults.cavitation) * random.normal(),
    ];
  }

  /** The operator changes the speed now and then; the drive follows. */
  #followSetpoint(): void {
    if (this.#untilNextSetpoint === 0) {
      this.#setpoint = SPEEDS[this.#random.between(0, SPEEDS.length - 1)]!;
      this.#untilNextSetpoint = this.#random.between(40, 120);
    }
    this.#untilNextSetpoint -= 1;
    this.#speed += (this.#setpoint - this.#speed) / DRIVE_S + 0.001 * this.#random.normal();
  }
}
