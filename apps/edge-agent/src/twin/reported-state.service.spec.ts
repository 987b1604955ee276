import { afterEach, describe, expect, it } from 'vitest';
import type { ReportedState } from '@drover/contracts';
import { OperationError, silentLogger, sleep } from '@drover/runtime';
import { ReportedStateService } from './reported-state.service.ts';

class GoneError extends OperationError {}

let service: ReportedStateService;
afterEach(() => service.stop());

const timing = { settleMs: 10, figuresMs: 60, everyMs: 10_000 };

function state(release: string | null, windows: number): ReportedState {
  return {
    format: 'drover.reported/1',
    desired: { epoch: 0, version: 0 },
    keysVersion: 1,
    profile: {
      board: 'b',
      arch: 'x64',
      cpuModel: 'c',
      cpuCores: 1,
      memoryBytes: 1,
      providers: ['cpu'],
      os: 'o',
      agentVersion: '1',
      runtimeVersion: '1',
      simulated: false,
    },
    pipelines: {
      pump: {
        release,
        releaseVersion: null,
        variant: null,
        variantDigest: null,
        provider: null,
        calibrationVersion: null,
        rollout: null,
        latency: null,
        windows,
        lastScoreAt: null,
      },
    },
    store: { pending: windows, bytes: 0, dropped: {} },
  };
}

describe('the reported state', () => {
  it('is told once for several changes of a moment, and once more when there are figures', async () => {
    const told: ReportedState[] = [];
    let now = state(null, 0);
    const reporter = { reported: (reported: ReportedState) => void told.push(reported) };
    service = new ReportedStateService({ build: async () => now, reporter, logger: silentLogger, timing });
    service.start();
    await expect.poll(() => told.length).toBe(2);
    now = state('one', 0);
    for (let i = 0; i < 5; i += 1) service.changed();
    await expect.poll(() => told.length).toBe(3);
    now = state('one', 7);
    await expect.poll(() => told.length).toBe(4);
    expect(told.map((one) => one.pipelines['pump']!.windows)).toEqual([0, 0, 0, 7]);
  });

  it('is not told when only figures have changed', async () => {
    const told: ReportedState[] = [];
    let windows = 0;
    const reporter = { reported: (reported: ReportedState) => void told.push(reported) };
    const build = async () => state('one', (windows += 1));
    service = new ReportedStateService({ build, reporter, logger: silentLogger, timing });
    service.start();
    await expect.poll(() => told.length).toBe(2);
    service.changed();
    await sleep(100);
    expect(told).toHaveLength(2);
  });

  it('does not mind parts that are gone, nor tells anything once it was stopped', async () => {
    const told: ReportedState[] = [];
    const warnings: string[] = [];
    let gone = true;
    const build = async () => {
      await sleep(5);
      if (gone) throw new GoneError('the store is closed');
      return state('one', 0);
    };
    const reporter = { reported: (reported: ReportedState) => void told.push(reported) };
    const logger = { ...silentLogger, warn: (_: object, message: string) => void warnings.push(message) };
    service = new ReportedStateService({ build, reporter, logger, timing });
    service.start();
    await expect.poll(() => warnings.length).toBe(1);
    gone = false;
    service.changed();
    await sleep(12);
    service.stop();
    await sleep(30);
    expect(told).toEqual([]);
  });
});
