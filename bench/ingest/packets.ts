/** The few MQTT 3.1.1 packets that a load generator needs, as bytes. */

export const CONNACK = 0x20;
export const PUBACK = 0x40;
export const DISCONNECT = Buffer.from([0xe0, 0x00]);

const CONNECT = 0x10;
const PUBLISH_QOS_1 = 0x32;
const CLEAN_SESSION = 0x02;
const LEVEL_3_1_1 = 4;

export function connectPacket(clientId: string, keepAliveSeconds: number): Buffer {
  const header = Buffer.from([LEVEL_3_1_1, CLEAN_SESSION, keepAliveSeconds >> 8, keepAliveSeconds & 0xff]);
  return packet(CONNECT, Buffer.concat([text('MQTT'), header, text(clientId)]));
}

/** A publication of which the packet id is yet to be written at `packetIdAt`; the payload is its end. */
export function publishPacket(
  topic: string,
  payload: Buffer,
): { bytes: Buffer; packetIdAt: number; payloadAt: number } {
  const bytes = packet(PUBLISH_QOS_1, Buffer.concat([text(topic), Buffer.alloc(2), payload]));
  const payloadAt = bytes.length - payload.length;
  return { bytes, packetIdAt: payloadAt - 2, payloadAt };
}

function packet(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, ...remainingLength(body.length)]), body]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

/** MQTT 3.1.1, 2.2.3: seven bits a byte, the lowest first. */
function remainingLength(length: number): number[] {
  const bytes: number[] = [];
  let rest = length;
  do {
    const more = rest > 0x7f ? 0x80 : 0;
    bytes.push((rest & 0x7f) | more);
    rest >>= 7;
  } while (rest > 0);
  return bytes;
}
