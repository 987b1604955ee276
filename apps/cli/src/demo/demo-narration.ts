import type { FleetEvent } from '@drover/contracts';

const STEPS: Record<string, string> = {
  DOWNLOADING: 'downloads the manifest and the variants for its tier',
  VERIFIED: 'has verified signature, digests and golden vectors',
  BENCHMARKING: 'measures its candidates',
  ACTIVATING: 'swaps the model without losing a sample',
  PROBATION: 'runs it on probation',
};

/** An event as a line of the story; undefined for what would only be noise. */
export function describeEvent(event: FleetEvent, name: string): string | undefined {
  const { type, data } = event;
  switch (type) {
    case 'device.enrolled':
      return `${name} has enrolled${data.tier === undefined ? '' : ` as ${String(data.tier)}`}`;
    case 'rollout.wave-started':
      return `wave ${Number(data.wave) + 1} begins: ${String(data.devices)} ${data.devices === 1 ? 'device' : 'devices'}`;
    case 'rollout.succeeded':
      return 'the rollout has succeeded';
    case 'rollout.failed':
      return `the rollout has stopped: ${String(data.reason)}`;
    case 'execution.changed':
      return describeExecution(data, name);
    case 'anomaly.opened':
      return `${name} has found its first anomaly`;
    default:
      return undefined;
  }
}

function describeExecution(data: FleetEvent['data'], name: string): string | undefined {
  if (data.status === 'IN_PROGRESS') {
    const step = STEPS[String(data.step)];
    return step === undefined ? undefined : `${name} ${step}`;
  }
  if (data.status === 'SUCCEEDED') return `${name} runs it: ${String(data.variant)} on ${String(data.provider)}`;
  return data.status === 'QUEUED'
    ? undefined
    : `${name}: ${String(data.status)} (${String(data.reason)}) ${String(data.message ?? '')}`;
}
