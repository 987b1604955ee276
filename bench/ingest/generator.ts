/** The load generator's process: takes one order over IPC, answers with one report. */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '@drover/runtime';
import { GeneratorConnection } from './generator-connection.ts';
import type { GeneratorAnswer, GeneratorOrder, GeneratorReport } from './generator-messages.ts';
import { LatencyHistogram } from './latency-histogram.ts';
import { FIRST_SEQ } from './sample-template.ts';

async function generate(order: GeneratorOrder): Promise<GeneratorReport> {
  const { target, devices, inFlight, warmUpMs, measureMs } = order;
  let latencies: LatencyHistogram | undefined;
  let counted = 0;
  const onAcknowledged = (latencyMs: number): void => {
    if (!latencies) return;
    latencies.add(latencyMs);
    counted += 1;
  };
  const connections = devices.map((device, i) => new GeneratorConnection(device, inFlight, i + 1, onAcknowledged));
  for (const connection of connections) await connection.connect(target);
  for (const connection of connections) connection.start();

  await sleep(warmUpMs);
  const histogram = new LatencyHistogram();
  latencies = histogram;
  const startedAt = performance.now();
  const cpu = process.cpuUsage();
  await sleep(measureMs);
  latencies = undefined;
  const elapsedMs = performance.now() - startedAt;
  const used = process.cpuUsage(cpu);

  await Promise.all(connections.map((connection) => connection.stop()));
  return {
    rate: counted / (elapsedMs / 1_000),
    p50Ms: histogram.quantile(0.5),
    p99Ms: histogram.quantile(0.99),
    payloadBytes: connections[0]!.payloadBytes,
    cores: (used.user + used.system) / 1_000 / elapsedMs,
    devices: connections.map(({ device, acknowledged }) => ({
      clientId: device.clientId,
      bootId: device.bootId,
      firstSeq: FIRST_SEQ,
      acknowledged,
    })),
  };
}

function answer(message: GeneratorAnswer): void {
  process.send!(message, () => process.disconnect());
}

process.once('message', (order: GeneratorOrder) => {
  generate(order).then(
    (report) => answer({ report }),
    (error: unknown) => answer({ failure: messageOf(error) }),
  );
});
