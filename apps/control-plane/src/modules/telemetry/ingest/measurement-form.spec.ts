import type { SampleMessage } from '@drover/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MeasurementForm } from './measurement-form.ts';
import { MeasurementForms } from './measurement-forms.ts';
import { parseMeasurement } from './measurement-message.ts';

const KEYS = { stream: 1, boot: 2 };

const parsed = (text: string): SampleMessage | null => {
  try {
    return parseMeasurement(Buffer.from(text)) as SampleMessage;
  } catch {
    return null;
  }
};

const message = (
  numbers: { seq?: string; t?: string; values?: string[] },
  before = '',
  between = ',"x":[1,{"y":2.5}]',
) =>
  `{${before}"bootId":"b-7","class":"m" , "seq":${numbers.seq ?? '12'},"t":${numbers.t ?? '1700000000000'}${between},` +
  `"channels":["a 1","b\\"2","3"],"values":[${(numbers.values ?? ['1.5', '-2', '0']).join(',')}]}`;

function formOf(text: string): MeasurementForm | null {
  return MeasurementForm.of(Buffer.from(text), parsed(text)!, KEYS);
}

describe('the form of measurements', () => {
  const form = formOf(message({}))!;

  it('reads the next message of the stream', () => {
    const reading = form.read(
      Buffer.from(message({ seq: '13', t: '1700000000001.25', values: ['0.001', '-0.5', '123456.789'] })),
    );
    expect(reading).toEqual({ seq: 13, t: 1_700_000_000_001.25, values: [0.001, -0.5, 123_456.789] });
    expect(form.keys).toBe(KEYS);
  });

  it('finds what the parser finds or nothing, whatever the numbers look like', () => {
    const digits = fc.stringMatching(/^\d{1,17}$/);
    const numeral = fc.oneof(
      {
        weight: 6,
        arbitrary: fc
          .tuple(fc.constantFrom('', '-'), fc.nat(99_999), fc.stringMatching(/^(\.\d{1,9})?$/))
          .map((parts) => parts.join('')),
      },
      fc.double().map(String),
      fc
        .tuple(fc.constantFrom('', '-', '+'), digits, fc.constantFrom('', '.', '.5', '.05', 'e3', 'E-2', '.5e+1'))
        .map((parts) => parts.join('')),
      fc.constantFrom(
        'null',
        '-0',
        '0',
        '00',
        '01',
        '.5',
        '1.',
        '',
        ' 1',
        '1 ',
        '"1"',
        'true',
        '999999999999999',
        '9007199254740993',
        '0.1',
        '1e400',
      ),
    );
    const numerals = fc.record({ seq: numeral, t: numeral, values: fc.array(numeral, { minLength: 3, maxLength: 3 }) });
    let read = 0;
    fc.assert(
      fc.property(numerals, (numbers) => {
        const text = message(numbers);
        const reading = form.read(Buffer.from(text));
        if (reading === null) return;
        read += 1;
        const { seq, t, values } = parsed(text)!;
        expect(reading).toEqual({ seq, t, values });
      }),
      { numRuns: 20_000 },
    );
    expect(read).toBeGreaterThan(500);
  });

  it('knows no message in which anything but its numbers has changed', () => {
    const bytes = Buffer.from(message({}));
    for (let at = 0; at < bytes.length; at++) {
      for (const byte of [0x20, 0x31, 0x61, bytes[at]! ^ 1]) {
        const changed = Buffer.from(bytes);
        changed[at] = byte;
        const reading = form.read(changed);
        const expected = parsed(changed.toString('utf8'));
        if (reading !== null) expect(reading).toEqual({ seq: expected!.seq, t: expected!.t, values: expected!.values });
      }
      expect(form.read(bytes.subarray(0, at))).toBeNull();
    }
    expect(form.read(Buffer.concat([bytes, Buffer.from(' ')]))).toBeNull();
    expect(form.read(Buffer.from(message({}).replace('b-7', 'b-8')))).toBeNull();
  });

  it('follows the parser where a field is there twice, and where fields stand in another order', () => {
    const twice = formOf(message({}, '"seq":5,"values":[7],'))!;
    expect(twice.read(Buffer.from(message({ seq: '99' }, '"seq":6,"values":[8],')))).toMatchObject({
      seq: 99,
      values: [1.5, -2, 0],
    });
    const other = formOf('{"values":[1],"t":2,"channels":["ä\\\\"],"seq":3,"class":"m","bootId":"b"}')!;
    expect(
      other.read(Buffer.from('{"values":[-4.5],"t":5,"channels":["ä\\\\"],"seq":6,"class":"m","bootId":"b"}')),
    ).toEqual({ values: [-4.5], t: 5, seq: 6 });
  });

  it('is not learnt from messages with missing values', () => {
    expect(formOf(message({ values: ['1', 'null', '2'] }))).toBeNull();
    expect(form.read(Buffer.from(message({ values: ['1', 'null', '2'] })))).toBeNull();
  });
});

describe('the forms of streams', () => {
  const forms = new MeasurementForms();
  const miss = (topic: string, text: string) => forms.learn(topic, Buffer.from(text), parsed(text)!, KEYS);

  it('are learnt from the second message on, and again soon after a boot', () => {
    miss('t', message({}));
    expect(forms.find('t')).toBeNull();
    miss('t', message({}));
    for (let i = 0; i < 20; i++)
      expect(forms.find('t')!.read(Buffer.from(message({ seq: `${i + 1}` })))).not.toBeNull();
    const after = message({}).replace('b-7', 'b-8');
    for (let i = 0; i < 4; i++) miss('t', after);
    expect(forms.find('t')!.read(Buffer.from(after))).not.toBeNull();
    expect(forms.find('u')).toBeNull();
  });

  it('are learnt ever less often where no two messages are alike', () => {
    const seen = new Set<MeasurementForm | null>();
    for (let i = 0; i < 5_000; i++) {
      miss('wild', message({}, `"n${i}":1,`));
      seen.add(forms.find('wild'));
    }
    expect(seen.size).toBeLessThan(20);
  });
});
