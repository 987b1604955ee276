import type { Device, HardwareProfile, Tier } from '@drover/contracts';

/** A row of `devices` with its groups, as the statements of `DeviceRepository` read it. */
export interface DeviceRow {
  readonly fleet_id: string;
  readonly id: string;
  readonly name: string;
  readonly state: Device['state'];
  readonly tier: Tier;
  readonly tier_override: Tier | null;
  readonly tags: Record<string, string>;
  readonly profile: HardwareProfile;
  readonly pipelines: string[];
  readonly agent_version: string;
  readonly epoch: number;
  readonly enrolled_at: Date;
  readonly last_seen_at: Date | null;
  /** By the lease, at the time of reading. */
  readonly present: boolean;
  readonly groups: string[];
}

/** Columns of `DeviceRow` of a row `d`, but for the groups. */
export const DEVICE_COLUMNS = `d.fleet_id, d.id, d.name, d.state, d.tier, d.tier_override, d.tags, d.profile, d.pipelines,
  d.agent_version, d.epoch, d.enrolled_at, d.last_seen_at, coalesce(d.online_until > now(), false) AS present`;

export function toDevice(row: DeviceRow): Device {
  return {
    id: row.id,
    fleet: row.fleet_id,
    name: row.name,
    state: row.state,
    tier: row.tier,
    tierOverridden: row.tier_override !== null,
    online: row.present && row.state === 'active',
    lastSeenAt: row.last_seen_at?.toISOString() ?? null,
    enrolledAt: row.enrolled_at.toISOString(),
    epoch: row.epoch,
    tags: row.tags,
    groups: row.groups.toSorted(),
    pipelines: row.pipelines,
    profile: row.profile,
    agentVersion: row.agent_version,
  };
}
