import type { DeviceRoute } from '../../../platform/http/device-listener.ts';
import { NotFoundError } from '../../../platform/http/errors.ts';
import { MethodNotAllowedError } from '../errors.ts';

export interface MatchedRoute {
  readonly route: DeviceRoute;
  readonly params: Readonly<Record<string, string>>;
}

/** Longer paths are none of ours. */
const MAX_PATH = 1_024;

/**
 * The route of a request. A `HEAD` without a route of its own is answered by the `GET`, whose body Node leaves out.
 *
 * @param target of the request line, query included
 * @throws NotFoundError, MethodNotAllowedError
 */
export function matchRoute(routes: readonly DeviceRoute[], method: string, target: string): MatchedRoute {
  const path = target.split('?', 1)[0]!;
  const segments = path.length > MAX_PATH ? null : decodeSegments(path);
  const matches: MatchedRoute[] = [];
  for (const route of segments === null ? [] : routes) {
    const params = paramsOf(route.path.split('/'), segments!);
    if (params) matches.push({ route, params });
  }
  if (matches.length === 0) throw new NotFoundError('There is nothing here.');
  const match =
    matches.find(({ route }) => route.method === method) ??
    (method === 'HEAD' ? matches.find(({ route }) => route.method === 'GET') : undefined);
  if (!match) throw new MethodNotAllowedError(method, [...new Set(matches.map(({ route }) => route.method))]);
  return match;
}

function decodeSegments(path: string): string[] | null {
  try {
    return path.split('/').map(decodeURIComponent);
  } catch {
    return null;
  }
}

function paramsOf(pattern: readonly string[], segments: readonly string[]): Record<string, string> | null {
  if (pattern.length !== segments.length) return null;
  const params: Record<string, string> = {};
  for (const [i, part] of pattern.entries()) {
    const segment = segments[i]!;
    if (!part.startsWith(':')) {
      if (part !== segment) return null;
    } else if (segment === '') return null;
    else params[part.slice(1)] = segment;
  }
  return params;
}
