import { z } from 'zod';
import type { Role } from '../statuses.ts';

/**
 * One operation of the REST API, said once: the server validates by it, the OpenAPI description is made from it and the
 * client is typed by it.
 */
export interface Route {
  /** `devices.list`: unique; the OpenAPI operation id. */
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below `/api/v1`, with `:name` parameters. */
  readonly path: string;
  readonly summary: string;
  /**
   * Who may call it: a role in the fleet, `instance` for the instance administrator, or `any` for every valid key.
   */
  readonly access: Role | 'instance' | 'any';
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** The body is taken as a stream of bytes, not as JSON. */
  readonly upload?: true;
  readonly response: z.ZodType | 'bytes' | 'events' | 'none';
  readonly status: 200 | 201 | 202 | 204;
}

export type QueryOf<R extends Route> = R['query'] extends z.ZodObject ? z.output<R['query']> : Record<string, never>;
export type QueryInputOf<R extends Route> = R['query'] extends z.ZodObject
  ? z.input<R['query']>
  : Record<string, never>;
export type BodyOf<R extends Route> = R['body'] extends z.ZodType ? z.output<R['body']> : undefined;
export type BodyInputOf<R extends Route> = R['body'] extends z.ZodType ? z.input<R['body']> : undefined;
export type ResponseOf<R extends Route> = R['response'] extends z.ZodType ? z.output<R['response']> : undefined;

/** Keeps the literal types of a table of routes. */
export function defineRoutes<const T extends Record<string, Omit<Route, 'id'>>>(
  resource: string,
  table: T,
): { readonly [K in keyof T]: T[K] & { readonly id: string } } {
  const withIds = Object.entries(table).map(([name, route]) => [name, { ...route, id: `${resource}.${name}` }]);
  return Object.fromEntries(withIds) as { readonly [K in keyof T]: T[K] & { readonly id: string } };
}

/** Every list: opaque cursor, bounded page. */
export const pageQuerySchema = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(50),
  /** From a previous answer's `nextCursor`. */
  cursor: z.string().max(512).optional(),
});
export type PageQuery = z.infer<typeof pageQuerySchema>;

export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() });
}

/** A sort key, descending with a leading `-`. */
export function sortBy<const T extends readonly [string, ...string[]]>(keys: T, initial: T[number] | `-${T[number]}`) {
  const values = [...keys, ...keys.map((key) => `-${key}`)] as [string, ...string[]];
  return z.enum(values).default(initial as string);
}

/** A repeated or comma-separated query parameter. */
export function listOf<T extends z.ZodType<unknown, string>>(item: T) {
  return z
    .union([z.string(), z.array(z.string())])
    .transform((value) =>
      (Array.isArray(value) ? value : value.split(',')).map((part) => part.trim()).filter((part) => part !== ''),
    )
    .pipe(z.array(item).max(200));
}
