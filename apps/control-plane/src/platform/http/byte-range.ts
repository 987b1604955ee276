/** What a `Range` header asks of `size` bytes; both ends inclusive. */
export type ByteRange = { readonly start: number; readonly end: number };

/**
 * One range of RFC 9110 §14. More than one, or another unit, is answered with the whole, which the standard allows.
 *
 * @returns null for the whole, `unsatisfiable` where no byte of it exists
 */
export function parseRange(header: string | undefined, size: number): ByteRange | null | 'unsatisfiable' {
  const match = header === undefined ? null : /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim());
  if (!match || (match[1] === '' && match[2] === '')) return null;
  if (match[1] === '') {
    const suffix = Number(match[2]);
    if (suffix === 0 || size === 0) return 'unsatisfiable';
    return { start: Math.max(0, size - suffix), end: size - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (start >= size) return 'unsatisfiable';
  return end < start ? null : { start, end };
}
