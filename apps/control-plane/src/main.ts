import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { DroverError, createLogger, messageOf } from '@drover/runtime';
import { Config } from './config/config.ts';
import { ControlPlane } from './control-plane.ts';

const HELP = `drover-control-plane: the server of Drover: REST API, devices' gateway and workers in one process.

Usage: npm start [-- options]

  --json            print one line of JSON when everything listens, instead of text
  --new-admin-key   make another API key for the instance administrator and print it
  --version         print the version
  --help            print this

Configured by environment variables; the ones most needed:

  DROVER_DATA_DIR          folder of everything that must survive        ./.drover
  DROVER_HTTP_HOST, _PORT  where the REST API listens                    127.0.0.1, 8080
  DROVER_PUBLIC_HOSTS      hosts that devices reach this server by       localhost,127.0.0.1
  DROVER_DEVICE_HTTPS_PORT, DROVER_MQTT_PORT, DROVER_EVENTS_MQTT_PORT    8443, 8883, 8884 (0: a free one)
  DATABASE_URL             an external PostgreSQL >= 15                  the embedded one
  REDIS_URL                BullMQ on Redis                               on PostgreSQL
  DROVER_ROLES             api,gateway,worker                            all
  DROVER_LOG_LEVEL         debug, info, warn, error, silent              info

All of them: docs/configuration.md
`;

const VERSION = '0.1.0';

/** What makes a person's mistake a message without a stack. */
const EXIT_CANNOT_START = 1;
const EXIT_USAGE = 2;

async function main(): Promise<void> {
  const options = readArguments();
  if (options.help) return void process.stdout.write(HELP);
  if (options.version) return void process.stdout.write(`${VERSION}\n`);
  const config = new Config(process.env);
  const logger = createLogger('control-plane', config.process.DROVER_LOG_LEVEL);
  const controlPlane = new ControlPlane({ config, logger, newAdminKey: options['new-admin-key'] ?? false });

  let stopping: Promise<void> | undefined;
  let starting: Promise<void> | undefined;
  const stop = (signal: string): void => {
    if (stopping) return;
    logger.info({ signal }, 'Stopping');
    // A start that is under way is finished first: stopping half a start leaves things behind.
    stopping = (starting ?? Promise.resolve()).catch(() => undefined).then(() => controlPlane.stop());
    void stopping.then(() => process.exit(0));
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));

  starting = controlPlane.start();
  await starting;
  // The administrator's key is shown once: also where the start was to be stopped before its end.
  if (stopping && controlPlane.adminKey === undefined) return;
  print(controlPlane, config, options.json ?? false);
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
        json: { type: 'boolean' },
        'new-admin-key': { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${HELP}`);
    process.exit(EXIT_USAGE);
  }
}

function print(controlPlane: ControlPlane, config: Config, json: boolean): void {
  const { listeners, adminKey } = controlPlane;
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ ready: true, pid: process.pid, dataDir: config.process.DROVER_DATA_DIR, listeners, ...(adminKey === undefined ? {} : { adminKey }) })}\n`,
    );
    return;
  }
  const lines = [
    'Drover is ready.',
    ...Object.entries(listeners).map(([name, url]) => `  ${name.padEnd(16)}${url}`),
    `  ${'data'.padEnd(16)}${config.process.DROVER_DATA_DIR}`,
  ];
  if (adminKey !== undefined) {
    lines.push('', "The instance administrator's API key, shown this once:", `  ${adminKey}`);
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`Drover cannot start: ${messageOf(error)}\n`);
  if (!(error instanceof DroverError) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exit(EXIT_CANNOT_START);
}
