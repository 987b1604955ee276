export interface QuantizedWeight {
  /** Same layout as the weight. */
  readonly values: Int8Array;
  /** One per channel. */
  readonly scales: Float32Array;
}

/**
 * Symmetric int8 with one scale per channel: real = scale[channel] × q.
 *
 * The default largest magnitude is 63, not 127: without VNNI, x86 adds pairs of uint8 × int8 products in 16 bits and
 * saturates them, so full-range weights give other results there than on ARM. 255 × 63 × 2 fits, and the same model gives
 * the same numbers on every board. (ONNX Runtime calls this "reduce range".)
 *
 * @param channelOf channel of the element at an index
 */
export function quantizeWeight(
  weight: ArrayLike<number>,
  channels: number,
  channelOf: (index: number) => number,
  largest = 63,
  smallestScales?: ArrayLike<number>,
): QuantizedWeight {
  const peaks = new Float64Array(channels);
  for (let i = 0; i < weight.length; i += 1) {
    const channel = channelOf(i);
    peaks[channel] = Math.max(peaks[channel]!, Math.abs(weight[i]!));
  }
  // A channel of zeros, or nearly: any scale represents it.
  const scales = Float32Array.from(peaks, (peak, channel) => {
    const least = smallestScales?.[channel] ?? 0;
    return Math.max(peak, least) > 1e-30 ? Math.max(peak / largest, least) : 1;
  });
  const values = new Int8Array(weight.length);
  for (let i = 0; i < weight.length; i += 1) {
    values[i] = Math.min(largest, Math.max(-largest, Math.round(weight[i]! / scales[channelOf(i)]!)));
  }
  return { values, scales };
}
