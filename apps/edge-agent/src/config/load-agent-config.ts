import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { InvalidConfigError, messageOf, problemsOf } from '@drover/runtime';
import { agentConfigSchema } from './agent-config.schema.ts';
import type { AgentConfig } from './agent-config.schema.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** What the command line says; it wins over the environment, which wins over the file. */
export interface ConfigArguments {
  readonly config?: string | undefined;
  readonly profile?: string | undefined;
  readonly token?: string | undefined;
  readonly url?: string | undefined;
}

/** Environment variables and the keys of the configuration that they set. */
const ENVIRONMENT_KEYS = {
  DROVER_URL: 'url',
  DROVER_TOKEN: 'token',
  DROVER_AGENT_DATA_DIR: 'dataDir',
  DROVER_AGENT_NAME: 'name',
  DROVER_PROFILE: 'profile',
  DROVER_LOG_LEVEL: 'logLevel',
} as const;

/**
 * Reads the configuration file (`--config`, or `DROVER_AGENT_CONFIG`), lays the environment and the command line over it and
 * checks all of it. Paths in the file are relative to the file, those in the environment to the working directory.
 *
 * @throws InvalidConfigError listing every problem, each under the name by which it was set
 */
export async function loadAgentConfig(args: ConfigArguments, env: Environment): Promise<AgentConfig> {
  const path = args.config ?? nonEmpty(env['DROVER_AGENT_CONFIG']);
  const file = path === undefined ? {} : await readConfigFile(path);
  const base = path === undefined ? process.cwd() : dirname(resolve(path));

  const sources = new Map<string, string>();
  const merged: Record<string, unknown> = { ...file };
  if (typeof file['dataDir'] === 'string') merged['dataDir'] = resolve(base, file['dataDir']);
  for (const [variable, key] of Object.entries(ENVIRONMENT_KEYS)) {
    const value = nonEmpty(env[variable]);
    if (value === undefined) continue;
    merged[key] = value;
    sources.set(key, variable);
  }
  const tags = nonEmpty(env['DROVER_AGENT_TAGS']);
  if (tags !== undefined) {
    merged['tags'] = parseTags(tags);
    sources.set('tags', 'DROVER_AGENT_TAGS');
  }
  for (const key of ['profile', 'token', 'url'] as const) {
    const value = args[key];
    if (value === undefined) continue;
    merged[key] = value;
    sources.set(key, `--${key}`);
  }

  const parsed = agentConfigSchema.safeParse(merged);
  if (!parsed.success) {
    const problems = problemsOf(parsed.error).map((problem) => ({
      ...problem,
      path: sources.get(problem.path.split('.')[0]!) ?? problem.path,
    }));
    throw invalid(path, problems);
  }
  return resolvePaths(parsed.data, base);
}

function resolvePaths(config: AgentConfig, base: string): AgentConfig {
  const sensors = Object.fromEntries(
    Object.entries(config.sensors).map(([name, sensor]) => [
      name,
      sensor.type === 'csv' && !isAbsolute(sensor.path) ? { ...sensor, path: resolve(base, sensor.path) } : sensor,
    ]),
  );
  return { ...config, sensors, dataDir: resolve(config.dataDir) };
}

async function readConfigFile(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw invalid(path, [{ path: '', message: `cannot be read: ${messageOf(error)}` }], error);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(path, [{ path: '', message: `is not JSON: ${messageOf(error)}` }], error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(path, [{ path: '', message: 'must hold one JSON object' }]);
  }
  return value as Record<string, unknown>;
}

/** `site=north,line=2` */
function parseTags(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(',').map((pair) => {
      const at = pair.indexOf('=');
      return at < 0 ? [pair.trim(), ''] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
    }),
  );
}

function invalid(path: string | undefined, problems: { path: string; message: string }[], cause?: unknown) {
  const lines = problems.map((problem) => `  ${problem.path === '' ? '' : `${problem.path}: `}${problem.message}`);
  return new InvalidConfigError(`Configuration${path === undefined ? '' : ` ${path}`}:\n${lines.join('\n')}`, {
    problems,
    cause,
  });
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value;
}
