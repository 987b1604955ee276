/** `npm run bench -- <name>… [--json] [--data DIR] [--families a,b]`: runs benchmarks one after another and prints what they measured. */
import { readdir } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { messageOf } from '@drover/runtime';
import type { Bench, BenchResult } from './harness/bench.ts';
import { describeMachine } from './harness/machine.ts';
import { pairsOf, tableOf } from './harness/report.ts';

/** Not 1, which is a bench that broke: on a busy machine a goal can be missed by nobody’s fault. */
const EXIT_GOAL_MISSED = 3;
const EXIT_USAGE = 2;

async function main(): Promise<number> {
  const { values, positionals } = readArguments();
  const known = await findBenches();
  const unknown = positionals.filter((name) => !known.includes(name));
  if (values.help || positionals.length === 0 || unknown.length > 0) {
    if (unknown.length > 0) console.error(`There is no benchmark "${unknown.join('", "')}".\n`);
    console.error(await usage(known));
    return values.help ? 0 : EXIT_USAGE;
  }
  const machine = describeMachine();
  // With --json standard output belongs to the result: one object, the last line.
  const print = values.json ? console.error : console.log;
  print(pairsOf(machine));
  const results: Record<string, BenchResult & { ok: boolean }> = {};
  for (const name of positionals) {
    const bench = await load(name);
    print(`\n${bench.name}: ${bench.summary}`);
    const result = await bench.run({ dataDir: values.data, families: values.families?.split(','), say });
    const ok = result.measures.every((measure) => measure.ok !== false);
    results[name] = { ok, ...result };
    print(`\n${tableOf(result.measures)}\n${pairsOf(result.settings)}`);
  }
  const ok = Object.values(results).every((result) => result.ok);
  if (values.json) console.log(JSON.stringify({ ok, machine, benches: results }));
  return ok ? 0 : EXIT_GOAL_MISSED;
}

/** Progress; standard output belongs to the results. */
function say(text: string): void {
  console.error(`  ${text}`);
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        data: { type: 'string' },
        families: { type: 'string' },
        help: { type: 'boolean' },
      },
    });
  } catch (error) {
    console.error(messageOf(error));
    process.exit(EXIT_USAGE);
  }
}

/** Every file beside this one is a benchmark. */
async function findBenches(): Promise<string[]> {
  const files = await readdir(import.meta.dirname);
  return files
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts') && file !== 'run.ts')
    .map((file) => file.slice(0, -3))
    .toSorted();
}

async function load(name: string): Promise<Bench> {
  return (await import(`./${name}.ts`)) as Bench;
}

async function usage(known: readonly string[]): Promise<string> {
  const lines = await Promise.all(known.map(async (name) => `  ${name.padEnd(12)}${(await load(name)).summary}`));
  return `Usage: npm run bench -- <name>... [--json] [--data DIR] [--families a,b]\n\n${lines.join('\n')}`;
}

process.exitCode = await main();
