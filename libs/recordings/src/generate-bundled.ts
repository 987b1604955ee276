import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { writeFileAtomic } from '@drover/runtime';
import { PUMP_RECORDINGS, pumpRecordingCsv } from './pump/pump-recording.ts';

/**
 * Writes the bundled recordings anew: `node --conditions=source libs/recordings/src/generate-bundled.ts [folder]`. A test
 * compares what is committed with what this writes.
 */
const folder = process.argv[2] ?? fileURLToPath(new URL('../bundled', import.meta.url));
await mkdir(folder, { recursive: true });
for (const plan of PUMP_RECORDINGS) {
  const csv = pumpRecordingCsv(plan);
  await writeFileAtomic(`${folder}/${plan.name}.csv`, csv, 0o644);
  process.stdout.write(`${plan.name}.csv  ${plan.rows} rows  ${csv.length} bytes\n`);
}
