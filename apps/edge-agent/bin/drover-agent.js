#!/usr/bin/env node
// Replaces itself by the agent with the settings of a small computer. The process id stays, so service managers and
// terminals see one process.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ALLOCATOR, v8Flags } from './process-settings.js';

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

process.execve(process.execPath, [process.execPath, ...v8Flags(process.env), agent, ...process.argv.slice(2)], {
  ...ALLOCATOR,
  ...process.env,
});
