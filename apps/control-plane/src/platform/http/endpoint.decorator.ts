import { API_PREFIX } from '@drover/contracts';
import type { BodyOf, QueryOf, Route } from '@drover/contracts';
import { InvalidInputError, problemsOf } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import {
  HttpCode,
  RequestMapping,
  RequestMethod,
  SetMetadata,
  applyDecorators,
  createParamDecorator,
} from '@nestjs/common';
import type { ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Caller } from './caller.ts';

const ROUTE = Symbol('drover:route');

/** Binds a controller's method to a route of the contract: path, method, status, access and validation come from there. */
export function Endpoint(route: Route): MethodDecorator {
  return applyDecorators(
    RequestMapping({ path: `${API_PREFIX}${route.path}`, method: RequestMethod[route.method] }),
    HttpCode(route.status),
    SetMetadata(ROUTE, route),
  );
}

export function routeOf(handler: object): Route | undefined {
  return Reflect.getMetadata(ROUTE, handler) as Route | undefined;
}

/** What a route's handler is given: path parameters, and the query and body as the contract's schemas parsed them. */
export interface Input<R extends Route> {
  readonly params: Readonly<Record<string, string>>;
  readonly query: QueryOf<R>;
  readonly body: BodyOf<R>;
}

/** Injects the validated input. Every problem of path, query and body is reported at once. */
export const ValidInput = createParamDecorator((_: unknown, context: ExecutionContext): Input<Route> => {
  const route = routeOf(context.getHandler())!;
  const request = context.switchToHttp().getRequest<FastifyRequest>();
  const query = route.query?.safeParse(request.query);
  const body = route.body?.safeParse(request.body ?? {});
  const problems = [
    ...(query?.error ? problemsOf(query.error) : []),
    ...(body?.error ? problemsOf(body.error) : []),
    ...[request.params, query?.data, body?.data].flatMap((part) => [...unstorable(part, '')]),
  ];
  if (problems.length > 0) {
    const text = problems.map((p) => (p.path === '' ? p.message : `${p.path}: ${p.message}`)).join('; ');
    throw new InvalidInputError(text, { problems });
  }
  return {
    params: request.params as Record<string, string>,
    query: (query?.data ?? {}) as never,
    body: body?.data as never,
  };
});

/** PostgreSQL's texts hold neither NUL nor half a surrogate pair: nothing that is stored or looked for has them. */
function* unstorable(value: unknown, path: string): Generator<FieldProblem> {
  if (typeof value === 'string') {
    if (value.includes('\0') || !value.isWellFormed())
      yield { path, message: 'must not contain NUL characters or unpaired surrogates' };
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, part] of Object.entries(value)) yield* unstorable(part, path === '' ? key : `${path}.${key}`);
  }
}

/** Injects who is calling, as the guard found out. */
export const TheCaller = createParamDecorator(
  (_: unknown, context: ExecutionContext): Caller =>
    context.switchToHttp().getRequest<FastifyRequest & { caller: Caller }>().caller,
);
