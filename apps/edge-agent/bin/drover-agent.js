#!/usr/bin/env node
// Replaces itself by the agent with the memory settings of a small computer: V8's flags and the allocator's limits must
// be there before a process begins. The process id stays, so service managers and terminals see one process.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [major] = process.versions.node.split('.');
if (Number(major) < 24) {
  process.stderr.write(
    `drover-agent needs Node.js 24 or newer, this is ${process.version}. "npx drover-agent" finds one.\n`,
  );
  process.exit(1);
}
const agent = fileURLToPath(new URL('../dist/agent.js', import.meta.url));
if (!existsSync(agent)) {
  process.stderr.write('drover-agent is not built yet: run "npm run build" first.\n');
  process.exit(1);
}

// Measured with a model loaded and connected (docs/agent.md): together from 155 MB resident to 125.
const V8_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=96', '--optimize-for-size', '--v8-pool-size=1'];
// The optimising compilers cost 12 MB and pay only from some thousand samples per second on.
if (process.env['DROVER_AGENT_JIT'] !== '1') V8_FLAGS.push('--no-turbofan', '--no-maglev');
const ALLOCATOR = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072' };

process.execve(process.execPath, [process.execPath, ...V8_FLAGS, agent, ...process.argv.slice(2)], {
  ...ALLOCATOR,
  ...process.env,
});
