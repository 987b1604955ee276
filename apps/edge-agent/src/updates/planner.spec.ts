import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import type { DesiredPipeline, ExecutionReport } from '@drover/contracts';
import { MAX_ACTIVATIONS, plan, recover, serves, targetKey } from './planner.ts';
import type { PlanInput, Step } from './planner.ts';
import { ATTEMPT_PHASES, EMPTY_RECORD } from './update-records.ts';
import type { Attempt, PipelineRecord, ServedRelease } from './update-records.ts';

const digest = (n: number): string => n.toString(16).padStart(64, '0');

function target(release: string, changes: Partial<DesiredPipeline> = {}): DesiredPipeline {
  return {
    release,
    releaseVersion: 1,
    rollout: 'r1',
    execution: 'x1',
    manifest: { digest: digest(release.charCodeAt(0)), sizeBytes: 10 },
    candidates: ['int8', 'fp32'],
    calibration: null,
    ...changes,
  };
}

function served(wanted: DesiredPipeline, variant = 'int8'): ServedRelease {
  return {
    model: 'm',
    release: wanted.release,
    releaseVersion: wanted.releaseVersion,
    rollout: wanted.rollout,
    manifest: wanted.manifest,
    variant,
    variantDigest: digest(7),
    provider: 'cpu',
    calibration: null,
  };
}

function attempt(wanted: DesiredPipeline, phase: Attempt['phase'], changes: Partial<Attempt> = {}): Attempt {
  return {
    target: wanted,
    phase,
    variants: ['int8'],
    dropped: [],
    tries: {},
    chosen: null,
    activations: 0,
    probationEndsAt: null,
    ...changes,
  };
}

function report(execution: string, status: ExecutionReport['status']): ExecutionReport {
  return {
    execution,
    sequence: 1,
    status,
    step: null,
    reason: null,
    message: null,
    progress: null,
    variant: null,
    variantDigest: null,
    provider: null,
    at: 0,
  };
}

function step(record: Partial<PipelineRecord>, changes: Partial<PlanInput> = {}): Step {
  const input: PlanInput = {
    record: { ...EMPTY_RECORD, ...record },
    target: target('a'),
    configured: true,
    now: 1_000,
    monotonicMs: 1_000,
    trouble: null,
    ...changes,
  };
  return plan(input);
}

describe('the planner', () => {
  it('begins an attempt for a release that it does not serve', () => {
    expect(step({})).toEqual({ type: 'begin', target: target('a') });
    expect(step({ serving: served(target('b')) })).toEqual({ type: 'begin', target: target('a') });
  });

  it.each([
    ['begun', 'resolve'],
    ['resolved', 'download'],
    ['downloaded', 'verify'],
    ['verified', 'benchmark'],
    ['benchmarked', 'activate'],
    ['activating', 'activate'],
  ] as const)('continues an attempt that is %s with the step %s', (phase, next) => {
    expect(step({ attempt: attempt(target('a'), phase) }).type).toBe(next);
  });

  it('waits for the end of probation, then commits', () => {
    const record = { attempt: attempt(target('a'), 'probation', { probationEndsAt: 2_000 }) };
    expect(step(record)).toEqual({ type: 'wait', forMs: 1_000 });
    expect(step(record, { monotonicMs: 2_000 })).toEqual({ type: 'commit' });
  });

  it('fails a release on probation as soon as something is wrong with it, even when its time is over', () => {
    const record = { attempt: attempt(target('a'), 'probation', { probationEndsAt: 2_000 }) };
    const failure = { type: 'fail', reason: 'probation-failed', message: 'score is NaN' };
    expect(step(record, { trouble: 'score is NaN' })).toEqual(failure);
    expect(step(record, { trouble: 'score is NaN', monotonicMs: 3_000 })).toEqual(failure);
  });

  it('gives up on a release that took the agent down with it again and again', () => {
    const record = { attempt: attempt(target('a'), 'activating', { activations: MAX_ACTIVATIONS }) };
    expect(step(record)).toMatchObject({ type: 'fail', reason: 'activation-failed' });
  });

  it('abandons an attempt whose target is no longer wanted', () => {
    const record = { attempt: attempt(target('a'), 'downloaded') };
    expect(step(record, { target: target('b') })).toEqual({ type: 'abandon' });
    expect(step(record, { target: target('a', { execution: 'x2' }) })).toEqual({ type: 'abandon' });
    expect(step(record, { target: null })).toEqual({ type: 'abandon' });
  });

  it('goes on with an attempt from before a restart although the desired state is not known yet', () => {
    expect(step({ attempt: attempt(target('a'), 'downloaded') }, { target: undefined })).toEqual({ type: 'verify' });
    expect(step({ serving: served(target('b')) }, { target: undefined })).toEqual({ type: 'idle' });
  });

  it('is idle when the wanted release serves and the server was told', () => {
    expect(step({ serving: served(target('a')), report: report('x1', 'SUCCEEDED') })).toEqual({ type: 'idle' });
    const quiet = target('a', { execution: null });
    expect(step({ serving: served(quiet) }, { target: quiet })).toEqual({ type: 'idle' });
  });

  it('confirms an execution that asks for what serves already', () => {
    expect(step({ serving: served(target('a')) }).type).toBe('confirm');
    expect(step({ serving: served(target('a')), report: report('x0', 'SUCCEEDED') }).type).toBe('confirm');
    expect(step({ serving: served(target('a')), report: report('x1', 'IN_PROGRESS') }).type).toBe('confirm');
  });

  it('takes on another variant, or another calibration, of the release that serves', () => {
    expect(step({ serving: served(target('a'), 'fp16') }).type).toBe('begin');
    const policy = { kind: 'threshold', threshold: 2, releaseRatio: 0.8, minLength: 1 } as const;
    const calibrated = target('a', { calibration: { version: 1, variantDigest: digest(7), policy } });
    expect(step({ serving: served(target('a')) }, { target: calibrated }).type).toBe('begin');
    const foreign = target('a', { calibration: { version: 1, variantDigest: digest(8), policy } });
    expect(step({ serving: served(target('a')), report: report('x1', 'SUCCEEDED') }, { target: foreign }).type).toBe(
      'idle',
    );
  });

  it('never tries a failed execution again, and a failed quiet change only after its pause', () => {
    const refused = { key: targetKey(target('a')), reason: 'golden-mismatch', message: '', failures: 1 } as const;
    expect(step({ refused: { ...refused, retryAt: null } })).toEqual({ type: 'idle' });
    expect(step({ refused: { ...refused, retryAt: 5_000 } })).toEqual({ type: 'wait', forMs: 4_000 });
    expect(step({ refused: { ...refused, retryAt: 5_000 } }, { now: 5_000 }).type).toBe('begin');
    expect(step({ refused: { ...refused, retryAt: null } }, { target: target('a', { execution: 'x2' }) }).type).toBe(
      'begin',
    );
  });

  it('refuses a pipeline that the device does not have', () => {
    expect(step({}, { configured: false })).toMatchObject({ type: 'refuse', reason: 'pipeline-unknown' });
  });

  it('clears a pipeline for which nothing is wanted any more, but not one that was never told', () => {
    expect(step({ serving: served(target('a')) }, { target: null })).toEqual({ type: 'clear' });
    expect(step({}, { target: null })).toEqual({ type: 'idle' });
  });
});

function targetOf(want: { release: string; execution: string | null } | null): DesiredPipeline | null {
  return want === null ? null : target(want.release, { execution: want.execution });
}

/** The executors' effect on the record, without their deeds. */
function apply(record: PipelineRecord, next: Step, fails: boolean, now: number): PipelineRecord {
  const current = record.attempt;
  const failed = (wantedKey: DesiredPipeline): PipelineRecord => ({
    ...record,
    attempt: null,
    refused: {
      key: targetKey(wantedKey),
      reason: 'internal',
      message: '',
      failures: 1,
      retryAt: wantedKey.execution === null ? now + 60_000 : null,
    },
  });
  const done = (phase: Attempt['phase'], changes: Partial<Attempt> = {}): PipelineRecord =>
    fails ? failed(current!.target) : { ...record, attempt: { ...current!, phase, ...changes } };
  switch (next.type) {
    case 'idle':
    case 'wait':
      return record;
    case 'begin':
      return { ...record, refused: null, attempt: attempt(next.target, 'begun') };
    case 'confirm':
      return {
        ...record,
        serving: { ...record.serving!, rollout: next.target.rollout },
        report: next.target.execution === null ? record.report : report(next.target.execution, 'SUCCEEDED'),
      };
    case 'refuse':
      return failed(next.target);
    case 'abandon':
      return { ...record, attempt: null };
    case 'fail':
      return failed(current!.target);
    case 'resolve':
      return done('resolved');
    case 'download':
      return done('downloaded');
    case 'verify':
      return done('verified');
    case 'benchmark':
      return done('benchmarked', { chosen: served(current!.target) });
    case 'activate':
      return done(fails ? 'activating' : 'probation', {
        activations: current!.activations + 1,
        probationEndsAt: now + 5_000,
      });
    case 'commit':
      return {
        ...record,
        previous: record.serving,
        serving: current!.chosen,
        attempt: null,
        report: current!.target.execution === null ? record.report : report(current!.target.execution, 'SUCCEEDED'),
      };
    case 'clear':
      return { ...record, previous: record.serving, serving: null };
  }
}

describe('plans, whatever happens', () => {
  const targets = fc.record({
    release: fc.constantFrom('a', 'b', 'c'),
    execution: fc.constantFrom('x1', 'x2', null),
  });
  const events = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('want' as const), want: fc.option(targets) }),
      fc.record({ kind: fc.constant('step' as const), fails: fc.boolean(), trouble: fc.boolean() }),
      fc.record({ kind: fc.constant('power-cut' as const) }),
    ),
    { maxLength: 60 },
  );
  it('keep the verified release until a commit, and reach the target once nothing fails any more', () => {
    fc.assert(
      fc.property(events, fc.option(targets), (history, last) => {
        let record: PipelineRecord = EMPTY_RECORD;
        let goal: DesiredPipeline | null | undefined = undefined;
        let now = 0;
        const advance = (fails: boolean, trouble: boolean): Step => {
          const next = plan({
            record,
            target: goal,
            configured: true,
            now,
            monotonicMs: now,
            trouble: trouble ? 'NaN' : null,
          });
          const before = record.serving;
          record = apply(record, next, fails, now);
          if (!['commit', 'clear', 'confirm'].includes(next.type)) expect(record.serving).toEqual(before);
          expect(record.attempt?.activations ?? 0).toBeLessThanOrEqual(MAX_ACTIVATIONS);
          if (next.type === 'wait') now += next.forMs;
          return next;
        };
        for (const event of history) {
          if (event.kind === 'want') goal = targetOf(event.want);
          else if (event.kind === 'power-cut') record = recover(record);
          else advance(event.fails, event.trouble);
        }
        // A new execution is a new try, so the last goal is reachable whatever failed before.
        goal = targetOf(last === null ? null : { ...last, execution: 'final' });
        for (let n = 0; n < 30; n += 1) if (advance(false, false).type === 'idle') break;
        expect(record.attempt).toBeNull();
        if (goal === null) expect(record.serving).toBeNull();
        else expect(serves(record.serving, goal)).toBe(true);
      }),
    );
  });

  it('know a next step for every phase', () => {
    for (const phase of ATTEMPT_PHASES) {
      expect(step({ attempt: attempt(target('a'), phase, { probationEndsAt: 0 }) }).type).not.toBe('idle');
    }
  });
});
