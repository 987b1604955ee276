import type { DetectorState } from './detector-session.ts';
import type { PathState } from './detection-path.ts';
import type { PipelineSnapshot } from './worker-messages.ts';

/** A snapshot as JSON text, to be kept across restarts of the process; a model's state as base64 of its floats. */
export function encodeSnapshot(snapshot: PipelineSnapshot): string {
  const detector = Object.fromEntries(
    Object.entries(snapshot.state.detector).map(([name, values]) => [
      name,
      Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64'),
    ]),
  );
  return JSON.stringify({ ...snapshot, state: { ...snapshot.state, detector } });
}

/** @returns null for what is no snapshot: a detector then starts with no memory, which is always safe */
export function decodeSnapshot(text: string): PipelineSnapshot | null {
  try {
    const { key, position, state } = JSON.parse(text) as PipelineSnapshot;
    const { lastTimeMs, policy, tracker } = state;
    const whole =
      typeof key === 'string' &&
      typeof position === 'number' &&
      (lastTimeMs === null || typeof lastTimeMs === 'number') &&
      typeof policy.kind === 'string' &&
      isTrackerState(tracker);
    return whole ? { key, position, state: { lastTimeMs, policy, tracker, detector: floatsOf(state.detector) } } : null;
  } catch {
    return null;
  }
}

function isTrackerState({ episode }: PathState['tracker']): boolean {
  if (episode === null) return true;
  const numbers = [episode.revision, episode.startedAt, episode.peakAt, episode.threshold, episode.windows];
  return typeof episode.id === 'string' && Array.isArray(episode.peakShares) && numbers.every(Number.isFinite);
}

function floatsOf(detector: unknown): DetectorState {
  return Object.fromEntries(
    Object.entries(detector as Record<string, string>).map(([name, base64]) => {
      const bytes = new Uint8Array(Buffer.from(base64, 'base64'));
      return [name, new Float32Array(bytes.buffer, 0, Math.floor(bytes.length / 4))];
    }),
  );
}
