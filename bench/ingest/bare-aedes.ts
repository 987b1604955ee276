import { join } from 'node:path';
import { ChildProgram, newId } from '@drover/runtime';
import type { GeneratorDevice, GeneratorTarget } from './generator-messages.ts';

/** The peer: the same MQTT library without anything of Drover, in a process of its own. */
export interface BareAedes extends AsyncDisposable {
  readonly target: GeneratorTarget;
  readonly devices: readonly GeneratorDevice[];
}

export async function serveBareAedes(deviceCount: number): Promise<BareAedes> {
  const program = new ChildProgram({ name: 'bare aedes', file: join(import.meta.dirname, 'bare-broker.ts') });
  await program.start();
  const { port } = await program.readLine((line) => JSON.parse(line) as { port: number }, 10_000);
  const devices = Array.from({ length: deviceCount }, (): GeneratorDevice => {
    const id = newId('dev');
    return { clientId: id, topic: `drover/v1/default/${id}/m/pump`, bootId: newId() };
  });
  return {
    target: { host: '127.0.0.1', port },
    devices,
    [Symbol.asyncDispose]: async () => {
      await program.stop();
    },
  };
}
