import type { DecisionPolicy } from './decision.ts';
import { TailPolicy } from './tail-policy.ts';
import type { TailPolicySpec, TailPolicyState } from './tail-policy.ts';
import { ThresholdPolicy } from './threshold-policy.ts';
import type { ThresholdPolicySpec, ThresholdPolicyState } from './threshold-policy.ts';

/** How signals become an alarm, and the parameters; from the manifest or a calibration. */
export type PolicySpec = ThresholdPolicySpec | TailPolicySpec;
export type PolicyState = ThresholdPolicyState | TailPolicyState;
export type AnyPolicy = DecisionPolicy<PolicyState>;

/**
 * @param state of an earlier policy with the same spec; one of another kind is ignored, because a policy of
 *   another kind starts with no memory
 */
export function createPolicy(spec: PolicySpec, state?: PolicyState): AnyPolicy {
  switch (spec.kind) {
    case 'threshold':
      return new ThresholdPolicy(spec, state?.kind === 'threshold' ? state : undefined);
    case 'tail':
      return new TailPolicy(spec, state?.kind === 'tail' ? state : undefined);
  }
}
