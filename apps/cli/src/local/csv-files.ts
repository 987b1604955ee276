import { stat } from 'node:fs/promises';
import { findRecordings } from '@drover/recordings';
import { InvalidInputError } from '@drover/runtime';

/** Files as they were given, those of folders in natural order. @throws InvalidInputError where there is none */
export async function csvFiles(given: readonly string[]): Promise<string[]> {
  const paths: string[] = [];
  for (const path of given) {
    const known = await stat(path).catch(() => undefined);
    if (known?.isDirectory()) paths.push(...(await findRecordings(path)).map((found) => found.path));
    else paths.push(path);
  }
  if (paths.length === 0) throw new InvalidInputError('There is no CSV file in the given folders.');
  return paths;
}
