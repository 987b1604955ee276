import { apiKeyRoutes, auditRoutes, eventRoutes, fleetRoutes, keyRoutes } from './access.ts';
import { anomalyRoutes, deviceRoutes, enrolmentTokenRoutes, groupRoutes, rejectRoutes, tierRoutes } from './devices.ts';
import { benchmarkRoutes } from './benchmarks.ts';
import { buildRoutes } from './builds.ts';
import { captureRoutes, datasetRoutes } from './datasets.ts';
import { artifactRoutes, modelRoutes, releaseRoutes } from './models.ts';
import { executionRoutes, rolloutRoutes } from './rollouts.ts';

/** The REST API, below `/api/v1`. */
export const api = {
  fleets: fleetRoutes,
  apiKeys: apiKeyRoutes,
  keys: keyRoutes,
  audit: auditRoutes,
  events: eventRoutes,
  devices: deviceRoutes,
  tiers: tierRoutes,
  groups: groupRoutes,
  enrolmentTokens: enrolmentTokenRoutes,
  rejects: rejectRoutes,
  anomalies: anomalyRoutes,
  models: modelRoutes,
  datasets: datasetRoutes,
  captures: captureRoutes,
  builds: buildRoutes,
  releases: releaseRoutes,
  benchmarks: benchmarkRoutes,
  artifacts: artifactRoutes,
  rollouts: rolloutRoutes,
  executions: executionRoutes,
} as const;

/** Chooses the fleet where the key is the instance administrator's; any other key belongs to one fleet. */
export const FLEET_HEADER = 'drover-fleet';
export const API_PREFIX = '/api/v1';
