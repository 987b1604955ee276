import { stat } from 'node:fs/promises';
import { findRecordings } from '@drover/recordings';
import { InvalidInputError } from '@drover/runtime';

/**
 * Files as they were given, those of folders in natural order. One that does not exist is told before any work is done.
 *
 * @throws InvalidInputError where there is none, or one of those given is missing
 */
export async function csvFiles(given: readonly string[]): Promise<string[]> {
  const paths: string[] = [];
  const missing: string[] = [];
  for (const path of given) {
    const known = await stat(path).catch(() => undefined);
    if (known?.isDirectory()) paths.push(...(await findRecordings(path)).map((found) => found.path));
    else {
      if (known === undefined) missing.push(path);
      paths.push(path);
    }
  }
  if (missing.length > 0) throw new InvalidInputError(`There is no file or folder ${missing.join(', ')}.`);
  if (paths.length === 0) throw new InvalidInputError('There is no CSV file in the given folders.');
  return paths;
}
