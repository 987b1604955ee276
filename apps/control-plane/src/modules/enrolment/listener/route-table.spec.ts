import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeviceRoute } from '../../../platform/http/device-listener.ts';
import { NotFoundError } from '../../../platform/http/errors.ts';
import { MethodNotAllowedError } from '../errors.ts';
import { matchRoute } from './route-table.ts';

const route = (method: DeviceRoute['method'], path: string): DeviceRoute => ({
  method,
  path,
  authenticated: false,
  handle: () => Promise.resolve(undefined),
});
const routes = [route('POST', '/enrol'), route('GET', '/artifacts/:digest'), route('GET', '/a/:one/b/:two')];

describe('the table of routes', () => {
  it('finds a route by method and path, with its parameters decoded and the query left out', () => {
    expect(matchRoute(routes, 'GET', '/artifacts/abc?x=1').params).toEqual({ digest: 'abc' });
    expect(matchRoute(routes, 'GET', '/a/1%2F2/b/%20').params).toEqual({ one: '1/2', two: ' ' });
    expect(matchRoute(routes, 'POST', '/enrol').route).toBe(routes[0]);
  });

  it('answers HEAD by the GET, unless there is a route for HEAD itself', () => {
    expect(matchRoute(routes, 'HEAD', '/artifacts/abc').route.method).toBe('GET');
    const head = route('HEAD', '/artifacts/:digest');
    expect(matchRoute([...routes, head], 'HEAD', '/artifacts/abc').route).toBe(head);
  });

  it('tells a path that does not exist from one that does not take the method', () => {
    for (const path of ['/', '', '/artifacts', '/artifacts/', '/artifacts/a/b', '/enrol/', '//enrol', '/artifacts/%'])
      expect(() => matchRoute(routes, 'GET', path)).toThrow(NotFoundError);
    expect(() => matchRoute(routes, 'DELETE', '/artifacts/abc')).toThrow(MethodNotAllowedError);
    expect(() => matchRoute(routes, 'HEAD', '/enrol')).toThrow(/it takes POST/);
  });

  it('finds a route or throws one of these two, whatever the path', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.webPath()),
        fc.constantFrom('GET', 'POST', 'HEAD', 'PUT', ''),
        (path, method) => {
          try {
            matchRoute(routes, method, path);
          } catch (error) {
            expect(error instanceof NotFoundError || error instanceof MethodNotAllowedError).toBe(true);
          }
        },
      ),
    );
  });
});
