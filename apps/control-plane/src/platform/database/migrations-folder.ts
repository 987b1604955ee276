import { fileURLToPath } from 'node:url';

/** The migrations of this version; the same place from `src` and from `dist`. */
export const MIGRATIONS_FOLDER = fileURLToPath(new URL('../../../../../prisma/migrations', import.meta.url));
