import { readFile } from 'node:fs/promises';
import { api } from '@drover/contracts';
import type { Route } from '@drover/contracts';
import { InvalidInputError, messageOf } from '@drover/runtime';
import { Command, Option } from 'commander';
import { z } from 'zod';
import { addConnectionOptions, connect } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { formatObject, formatRows } from './table.ts';

type Flags = ConnectionOptions & { readonly body?: string } & Readonly<Record<string, unknown>>;

/** Routes with a command of their own: their bodies are no JSON. */
const SPECIAL = new Set([
  'artifacts.upload',
  'artifacts.download',
  'events.stream',
  'releases.card',
  'releases.cardText',
]);
/** Routes that are not named like their command, or have none. */
const RENAMED: Readonly<Record<string, string | null>> = { 'events.stream': 'follow', 'releases.cardText': null };

interface Property {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly items?: Property;
}

/**
 * One command per route of the API: `drover devices list --tier pi-4`, `drover rollouts pause <rollout>`. Path parameters are
 * arguments, query parameters and simple body fields are options, the whole body can be given with `--body`.
 */
export function apiCommands(): Command[] {
  return Object.values(api).map((routes) => {
    const all = Object.values(routes) as Route[];
    const names = all.map((route) => (route.id in RENAMED ? RENAMED[route.id] : nameOf(route))).filter(Boolean);
    const group = new Command(all[0]!.id.split('.')[0]).description(names.join(', '));
    for (const route of all) if (!SPECIAL.has(route.id)) group.addCommand(routeCommand(route));
    return group;
  });
}

function routeCommand(route: Route): Command {
  const command = new Command(nameOf(route)).description(route.summary);
  const params = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1]!);
  for (const name of params) command.argument(`<${name}>`);
  const query = route.query ? propertiesOf(route.query) : {};
  const body = route.body ? propertiesOf(route.body) : {};
  for (const [name, property] of Object.entries({ ...query, ...simple(body) }))
    command.addOption(optionFor(name, property));
  if (route.body) addBodyOption(command, body);
  if (isList(route)) command.option('--all', 'every page');
  addConnectionOptions(command);
  command.action(async (...given: unknown[]) => {
    const flags = given[params.length] as Flags;
    const client = connect(flags);
    const input = {
      params: Object.fromEntries(params.map((name, i) => [name, String(given[i])])),
      query: pick(flags, query),
      ...(route.body ? { body: { ...(await readBody(flags.body)), ...typed(pick(flags, simple(body)), body) } } : {}),
    };
    if (flags.all === true && isList(route)) {
      const items: unknown[] = [];
      for await (const item of client.all(route, input as never)) items.push(item);
      return print({ items }, flags);
    }
    print(await client.call(route, input as never), flags);
  });
  return command;
}

function addBodyOption(command: Command, body: Record<string, Property>): void {
  command.option('--body <json>', 'the body as JSON, beside the options; @file reads a file, - reads standard input');
  const others = Object.keys(body).filter((name) => !(name in simple(body)));
  if (others.length > 0)
    command.addHelpText(
      'after',
      `\nOnly in --body: ${others.join(', ')}. /openapi.json of the control plane says what they hold.`,
    );
}

function print(result: unknown, { json }: ConnectionOptions): void {
  if (json) return void process.stdout.write(`${JSON.stringify(result ?? null, null, 2)}\n`);
  if (result === undefined) return void process.stdout.write('Done.\n');
  const page = result as { items?: Record<string, unknown>[]; nextCursor?: string | null };
  if (!Array.isArray(page.items))
    return void process.stdout.write(`${formatObject(result as Record<string, unknown>)}\n`);
  process.stdout.write(`${formatRows(page.items)}\n`);
  if (page.nextCursor) process.stderr.write(`There is more: --cursor ${page.nextCursor}, or --all.\n`);
}

function propertiesOf(schema: z.ZodType): Record<string, Property> {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as {
    properties?: Record<string, Property>;
  };
  return json.properties ?? {};
}

const SIMPLE_TYPES = new Set(['string', 'number', 'integer', 'boolean']);

/** Fields that fit into one option each: plain values, and lists of them. */
function simple(properties: Record<string, Property>): Record<string, Property> {
  return Object.fromEntries(
    Object.entries(properties).filter(([, property]) =>
      SIMPLE_TYPES.has((property.type === 'array' ? property.items?.type : property.type) ?? ''),
    ),
  );
}

function optionFor(name: string, property: Property): Option {
  const list = property.type === 'array';
  const { type, enum: choices } = list ? property.items! : property;
  const option = new Option(
    `--${kebab(name)} <${type ?? 'value'}${list ? '...' : ''}>`,
    property.default === undefined ? '' : `default: ${JSON.stringify(property.default)}`,
  );
  return choices ? option.choices(choices.map(String)) : option;
}

function pick(flags: Flags, properties: Record<string, Property>): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(properties)
      .map((name) => [name, flags[name]])
      .filter(([, value]) => value !== undefined),
  );
}

/** Options are text; the body's fields are what their schema says. */
function typed(values: Record<string, unknown>, properties: Record<string, Property>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const property = properties[name];
      return Array.isArray(value)
        ? [name, value.map((item) => typedValue(item, property?.items?.type))]
        : [name, typedValue(value, property?.type)];
    }),
  );
}

function typedValue(value: unknown, type: string | undefined): unknown {
  if (type === 'boolean') return value === 'true';
  return type === 'number' || type === 'integer' ? Number(value) : value;
}

async function readBody(given: string | undefined): Promise<Record<string, unknown>> {
  if (given === undefined) return {};
  const text =
    given === '-'
      ? await readFile('/dev/stdin', 'utf8')
      : given.startsWith('@')
        ? await readFile(given.slice(1), 'utf8')
        : given;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new InvalidInputError(`--body is no JSON: ${messageOf(error)}`, { cause: error });
  }
}

function isList(route: Route): boolean {
  return (
    route.query?.shape.cursor !== undefined &&
    typeof route.response !== 'string' &&
    propertiesOf(route.response).nextCursor !== undefined
  );
}

/** Of its command. */
function nameOf(route: Route): string {
  return kebab(route.id.split('.')[1]!);
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
