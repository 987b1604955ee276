import { describe, expect, it } from 'vitest';
import { formatRows } from './table.ts';

const DIGEST = '167d4f0b89412e454a585efae69658f54383adc2ba5f3093745c00bc60604f0b';

describe('formatRows', () => {
  it('shortens digests and fractions, but not what a row is known by', () => {
    const [, , row] = formatRows([{ digest: DIGEST, model: DIGEST, p50Us: 43.15400000086811, rows: 1234567 }]).split(
      '\n',
    );
    expect(row).toMatch(new RegExp(`^${DIGEST} +167d4f0b8941… +43\\.154 +1234567$`));
  });

  it('leaves out columns that hold nothing or objects', () => {
    expect(formatRows([{ id: 'a', empty: null, nested: { x: 1 } }])).toBe('id\n--\na');
  });
});
