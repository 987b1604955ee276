/**
 * A small seeded generator, so that the bundled recordings come out byte for byte the same everywhere.
 *
 * Source: G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003: the 128-bit generator with shifts
 * 11, 8, 19. Normal deviates by G. Box and M. Muller, 1958.
 */
export class RandomSource {
  #x: number;
  #y: number;
  #z: number;
  #w: number;

  /** @param seed any 32-bit integer */
  constructor(seed: number) {
    // Spread by multiples of the golden ratio; the generator only needs one of the four words not to be zero.
    const word = (i: number): number => Math.imul(seed + i, 0x9e_37_79_b1) >>> 0;
    [this.#x, this.#y, this.#z, this.#w] = [word(1), word(2), word(3), word(4) | 1];
    for (let i = 0; i < 32; i += 1) this.uniform();
  }

  /** In (0, 1): never 0, so that its logarithm exists. */
  uniform(): number {
    const t = this.#x ^ (this.#x << 11);
    this.#x = this.#y;
    this.#y = this.#z;
    this.#z = this.#w;
    this.#w = this.#w ^ (this.#w >>> 19) ^ (t ^ (t >>> 8));
    return ((this.#w >>> 0) + 0.5) / 2 ** 32;
  }

  /** Mean 0, standard deviation 1. */
  normal(): number {
    return Math.sqrt(-2 * Math.log(this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Integer in [low, high]. */
  between(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }
}
