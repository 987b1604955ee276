#!/usr/bin/env node
import module from 'node:module';
import { fileURLToPath } from 'node:url';

if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write(
    `drover needs Node.js 24 or newer, this is ${process.version}. "npx drover" finds the one of this project.\n`,
  );
  process.exit(1);
}
// Loading some thousand files takes most of a start. What was compiled is kept beside them, in a folder that only who may
// write the program may write; where that is not us, nothing is kept.
module.enableCompileCache?.(fileURLToPath(new URL('../dist/.compile-cache', import.meta.url)));
await import('../dist/main.js');
