#!/usr/bin/env node
import module from 'node:module';
import { fileURLToPath } from 'node:url';

// Loading some thousand files takes most of a start. What was compiled is kept beside them, in a folder that only who may
// write the program may write; where that is not us, nothing is kept.
module.enableCompileCache?.(fileURLToPath(new URL('../dist/.compile-cache', import.meta.url)));
await import('../dist/main.js');
