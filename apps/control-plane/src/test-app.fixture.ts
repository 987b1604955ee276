import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import 'reflect-metadata';
import { silentLogger } from '@drover/runtime';
import { Config } from './config/config.ts';
import { ControlPlane } from './control-plane.ts';
import { copyOfTemplate } from './platform/database/test-database.fixture.ts';

export interface TestApp {
  readonly controlPlane: ControlPlane;
  readonly config: Config;
  /** Base URL of the REST API, without `/api/v1`. */
  readonly url: string;
  readonly adminKey: string;
  readonly dataDir: string;
  /** Calls the REST API as the instance administrator (or with another key). */
  request(
    method: string,
    path: string,
    body?: unknown,
    options?: { key?: string; fleet?: string },
  ): Promise<{ status: number; body: any }>;
  stop(): Promise<void>;
}

/**
 * The whole control plane in this process, on free ports, with a data folder and a database of its own. Pass an empty
 * `DATABASE_URL` for an embedded PostgreSQL of its own, too.
 */
export async function testApp(env: Record<string, string> = {}): Promise<TestApp> {
  const dataDir = await mkdtemp(join(tmpdir(), 'drover-test-'));
  const copy = env.DATABASE_URL === undefined ? await copyOfTemplate() : undefined;
  const config = new Config({
    DROVER_DATA_DIR: dataDir,
    ...(copy ? { DATABASE_URL: copy.connectionString } : {}),
    DROVER_HTTP_PORT: '0',
    DROVER_DEVICE_HOST: '127.0.0.1',
    DROVER_DEVICE_HTTPS_PORT: '0',
    DROVER_MQTT_PORT: '0',
    DROVER_EVENTS_MQTT_PORT: '0',
    ...env,
  });
  const controlPlane = new ControlPlane({ config, logger: silentLogger });
  await controlPlane.start();
  const url = controlPlane.listeners.api!;
  const adminKey = controlPlane.adminKey!;
  return {
    controlPlane,
    config,
    url,
    adminKey,
    dataDir,
    request: async (method, path, body, options = {}) => {
      const response = await fetch(`${url}/api/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${options.key ?? adminKey}`,
          ...(options.fleet === undefined ? {} : { 'drover-fleet': options.fleet }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
    },
    stop: async () => {
      await controlPlane.stop();
      await copy?.drop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
