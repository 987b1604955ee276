/**
 * A small seeded generator, so that the same data and seed always give the same release.
 * Source: "mulberry32" by T. Ettinger (public domain): a counter through a 32-bit mixing function.
 *
 * @returns uniform numbers in [0, 1)
 */
export function seededRandom(seed: number): () => number {
  let state = Math.trunc(seed) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
