import { ID_PATTERN } from '@drover/contracts';
import type { DesiredState } from '@drover/contracts';

const MOST = 64;

/**
 * Executions that a refused document asks for: somebody waits for news of them. The document is not trusted, so nothing else
 * is taken from it; what the device knows from a trusted one is left alone, or a replayed document could end it.
 */
export function refusedExecutions(document: Uint8Array, current: DesiredState | null): string[] {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(document));
  } catch {
    return [];
  }
  const known = new Set(Object.values(current?.pipelines ?? {}).map((pipeline) => pipeline.execution));
  const pipelines = (value as { payload?: { pipelines?: unknown } } | null)?.payload?.pipelines;
  if (typeof pipelines !== 'object' || pipelines === null) return [];
  return Object.values(pipelines)
    .map((pipeline: unknown) => (pipeline as { execution?: unknown } | null)?.execution)
    .filter((id): id is string => typeof id === 'string' && ID_PATTERN.test(id) && !known.has(id))
    .slice(0, MOST);
}
