import { eventSchema } from '@drover/contracts';
import type { FleetEvent } from '@drover/contracts';

/** Reads a body of server-sent events. Blocks without data (comments that keep the connection open) are passed over. */
export async function* readEvents(body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<FleetEvent> {
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const chunk of body) {
      text += decoder.decode(chunk, { stream: true });
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const data = block.split('\n').filter((line) => line.startsWith('data: '));
        if (data.length > 0) yield eventSchema.parse(JSON.parse(data.map((line) => line.slice(6)).join('\n')));
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
