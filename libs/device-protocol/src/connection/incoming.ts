import { ackMessageSchema, decodePayload, parseDeviceTopic } from '@drover/contracts';
import type { AckMessage } from '@drover/contracts';
import { messageOf, problemsOf } from '@drover/runtime';
import type { DroverError } from '@drover/runtime';
import { ServerAnswerInvalidError } from '../errors.ts';

export type Incoming =
  | { kind: 'ack'; message: AckMessage }
  | { kind: 'desired' }
  | { kind: 'command'; type: string; id: string }
  | { kind: 'chunk'; digest: string; offset: number }
  | { kind: 'invalid'; error: DroverError };

/** What a message from the server is. Signed documents stay bytes: whoever verifies them needs those. */
export function readIncoming(topic: string, payload: Uint8Array): Incoming {
  const parsed = parseDeviceTopic(topic);
  switch (parsed?.kind) {
    case 'ack':
      return readAck(payload);
    case 'desired':
      return { kind: 'desired' };
    case 'command':
      return { kind: 'command', type: parsed.type, id: parsed.id };
    case 'chunk':
      return { kind: 'chunk', digest: parsed.digest, offset: parsed.offset };
    default:
      return invalid(`Unexpected topic ${topic}`);
  }
}

function readAck(payload: Uint8Array): Incoming {
  let value: unknown;
  try {
    value = decodePayload(payload);
  } catch (error) {
    return invalid(`An acknowledgement cannot be decoded: ${messageOf(error)}`);
  }
  const parsed = ackMessageSchema.safeParse(value);
  if (parsed.success) return { kind: 'ack', message: parsed.data };
  const problems = problemsOf(parsed.error);
  return {
    kind: 'invalid',
    error: new ServerAnswerInvalidError('An acknowledgement is malformed', { problems }),
  };
}

function invalid(message: string): Incoming {
  return { kind: 'invalid', error: new ServerAnswerInvalidError(message) };
}
