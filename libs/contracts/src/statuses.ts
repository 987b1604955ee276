import { z } from 'zod';

/** Where one device slot's part in a rollout stands. Terms follow AWS IoT Jobs. */
export const EXECUTION_STATUSES = [
  'QUEUED',
  'IN_PROGRESS',
  'SUCCEEDED',
  'FAILED',
  'TIMED_OUT',
  'REJECTED',
  'CANCELED',
  'REMOVED',
] as const;
export const executionStatusSchema = z.enum(EXECUTION_STATUSES);
export type ExecutionStatus = z.infer<typeof executionStatusSchema>;

/** Statuses that never change again. */
export const TERMINAL_EXECUTION_STATUSES = [
  'SUCCEEDED',
  'FAILED',
  'TIMED_OUT',
  'REJECTED',
  'CANCELED',
  'REMOVED',
] as const;
export function isTerminal(status: ExecutionStatus): boolean {
  return status !== 'QUEUED' && status !== 'IN_PROGRESS';
}

/** What an agent is doing while an execution is IN_PROGRESS, in this order. */
export const EXECUTION_STEPS = [
  'DOWNLOADING',
  'DOWNLOADED',
  'VERIFIED',
  'BENCHMARKING',
  'ACTIVATING',
  'PROBATION',
] as const;
export const executionStepSchema = z.enum(EXECUTION_STEPS);
export type ExecutionStep = z.infer<typeof executionStepSchema>;

/** Why an execution ended without success. */
export const EXECUTION_REASONS = [
  'signature-invalid',
  'envelope-foreign',
  'envelope-expired',
  'downgrade-refused',
  'manifest-invalid',
  'digest-mismatch',
  'size-mismatch',
  'no-space',
  'download-failed',
  'graph-invalid',
  'golden-mismatch',
  'no-candidate',
  'signature-mismatch',
  'activation-failed',
  'probation-failed',
  'pipeline-unknown',
  'step-timeout',
  'rollout-aborted',
  'superseded',
  'device-removed',
  'replaced',
  'internal',
] as const;
export const executionReasonSchema = z.enum(EXECUTION_REASONS);
export type ExecutionReason = z.infer<typeof executionReasonSchema>;

export const ROLLOUT_STATUSES = ['DRAFT', 'RUNNING', 'PAUSED', 'SUCCEEDED', 'FAILED', 'ABORTED'] as const;
export const rolloutStatusSchema = z.enum(ROLLOUT_STATUSES);
export type RolloutStatus = z.infer<typeof rolloutStatusSchema>;

export const WAVE_STATUSES = ['PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'ABORTED'] as const;
export const waveStatusSchema = z.enum(WAVE_STATUSES);
export type WaveStatus = z.infer<typeof waveStatusSchema>;

export const ROLLOUT_SUBJECTS = ['model', 'calibration', 'agent', 'config'] as const;
export const rolloutSubjectSchema = z.enum(ROLLOUT_SUBJECTS);

/** An execution's slot: what of a device it changes. One active execution per slot. */
export const slotSchema = z
  .string()
  .regex(/^(agent|config|pipeline:[A-Za-z0-9_-]{1,64})$/, 'must be "agent", "config" or "pipeline:<name>"');

export const ROLES = ['viewer', 'operator', 'admin'] as const;
export const roleSchema = z.enum(ROLES);
export type Role = z.infer<typeof roleSchema>;
