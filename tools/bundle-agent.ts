/**
 * Bundles the edge agent into two files, `apps/edge-agent/dist/agent.js` and `dist/inference-worker.js`: loading one file
 * instead of several hundred is what makes it start fast and stay small. Only onnxruntime-node stays outside, as its
 * native library has to be found beside it (and a board may bring its own build).
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = new URL('../', import.meta.url);
const path = (relative: string): string => fileURLToPath(new URL(relative, root));

const bundle = await rolldown({
  input: {
    agent: path('apps/edge-agent/src/program.ts'),
    'inference-worker': path('libs/inference/src/worker.ts'),
  },
  platform: 'node',
  external: ['onnxruntime-node'],
  // Packages by their sources: the bundle never lags behind them.
  resolve: { conditionNames: ['source', 'node', 'import', 'default'] },
  treeshake: { moduleSideEffects: false },
});
const { output } = await bundle.generate({
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: 'agent-[name].js',
  // Error codes come from class names.
  keepNames: true,
  minify: { mangle: { keepNames: true }, compress: true },
  sourcemap: false,
});
await bundle.close();

const folder = path('apps/edge-agent/dist');
await mkdir(folder, { recursive: true });
for (const file of output) {
  if (file.type !== 'chunk') continue;
  // One character beyond Latin-1 makes V8 keep the whole source with two bytes per character.
  const ascii = file.code.replaceAll(
    /[^\0-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  await writeFile(join(folder, file.fileName), ascii);
}
