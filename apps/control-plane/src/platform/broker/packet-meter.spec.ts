import * as fc from 'fast-check';
import { generate } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import { PacketMeter } from './packet-meter.ts';

const LIMITS = { maxBytes: 2_000, maxConnectBytes: 300 };
const connect = (will: number) =>
  generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    clientId: 'd-1',
    keepalive: 10,
    will: { topic: 't', payload: Buffer.alloc(will), qos: 0, retain: false },
  } as never);
const publish = (size: number) =>
  generate({ cmd: 'publish', topic: 't', payload: Buffer.alloc(size, 0xff), qos: 0, dup: false, retain: false });

function verdictOf(stream: Buffer, cuts: readonly number[]): string | null {
  const meter = new PacketMeter(LIMITS);
  let from = 0;
  for (const cut of [...cuts.map((at) => at % (stream.length + 1)).toSorted((a, b) => a - b), stream.length]) {
    const violation = meter.take(stream.subarray(from, cut));
    if (violation) return violation;
    from = cut;
  }
  return null;
}

describe('the packet meter', () => {
  it('tells whether any packet is too large, however the stream is cut into pieces', () => {
    fc.assert(
      fc.property(
        fc.nat(250),
        fc.array(fc.oneof(fc.nat(300), fc.integer({ min: 1_990, max: 2_010 }), fc.constant(20_000)), { maxLength: 8 }),
        fc.array(fc.nat(60_000), { maxLength: 20 }),
        (will, sizes, cuts) => {
          const stream = Buffer.concat([connect(will), ...sizes.map(publish)]);
          // A PUBLISH carries its topic's length and text besides the payload.
          const tooLarge = sizes.some((size) => size + 3 > LIMITS.maxBytes);
          expect(verdictOf(stream, cuts)).toBe(tooLarge ? 'oversized' : null);
        },
      ),
    );
  });

  it('needs the length only', () => {
    const meter = new PacketMeter(LIMITS);
    expect(meter.take(connect(0))).toBeNull();
    expect(meter.take(Buffer.from([0x30, 0xd1]))).toBeNull();
    expect(meter.take(Buffer.from([0x0f]))).toBe('oversized');
  });

  it('refuses a stream that does not begin with a CONNECT of reasonable size', () => {
    expect(verdictOf(publish(10), [])).toBe('no-connect');
    expect(verdictOf(connect(400), [])).toBe('oversized');
  });

  it('refuses a length of more than four bytes', () => {
    expect(verdictOf(Buffer.concat([connect(0), Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80])]), [])).toBe('malformed');
  });

  it('never fails, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const verdict = new PacketMeter(LIMITS).take(bytes);
        expect([null, 'oversized', 'malformed', 'no-connect']).toContain(verdict);
      }),
    );
  });
});
