import { API_PREFIX, FLEET_HEADER, api, problemSchema } from '@drover/contracts';
import type { Route } from '@drover/contracts';
import { z } from 'zod';

const VERSION = '1';

/** The OpenAPI 3.1 description of the REST API. */
export function describeApi(): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const [tag, routes] of Object.entries(api)) {
    for (const route of Object.values(routes) as Route[]) {
      const path = `${API_PREFIX}${route.path}`.replaceAll(/:(\w+)/g, '{$1}');
      paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(tag, route) };
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Drover',
      version: VERSION,
      description: `Authenticate with an API key: \`Authorization: Bearer drover_…\`. The instance administrator chooses the fleet with the header \`${FLEET_HEADER}\`.`,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: [{ apiKey: [] }],
    paths,
    components: {
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } },
      responses: {
        Problem: {
          description: 'An RFC 9457 problem document',
          content: { 'application/problem+json': { schema: jsonSchema(problemSchema, 'output') } },
        },
      },
    },
  };
}

function operation(tag: string, route: Route): object {
  return {
    operationId: route.id,
    tags: [tag],
    summary: route.summary,
    description: `Access: ${route.access}.`,
    parameters: [...pathParameters(route), ...queryParameters(route)],
    ...requestBody(route),
    responses: { [route.status]: answer(route), default: { $ref: '#/components/responses/Problem' } },
  };
}

function pathParameters(route: Route): object[] {
  return [...route.path.matchAll(/:(\w+)/g)].map((match) => ({
    name: match[1],
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters(route: Route): object[] {
  if (!route.query) return [];
  const schema = jsonSchema(route.query, 'input') as { properties?: Record<string, object>; required?: string[] };
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    in: 'query',
    required: schema.required?.includes(name) ?? false,
    schema: property,
  }));
}

function requestBody(route: Route): object {
  if (route.upload)
    return {
      requestBody: {
        required: true,
        content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
      },
    };
  if (!route.body) return {};
  return {
    requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(route.body, 'input') } } },
  };
}

function answer(route: Route): object {
  if (route.response === 'none') return { description: 'Done' };
  if (route.response === 'bytes')
    return {
      description: 'The bytes',
      content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
    };
  if (route.response === 'events')
    return { description: 'Server-sent events', content: { 'text/event-stream': { schema: { type: 'string' } } } };
  return { description: 'OK', content: { 'application/json': { schema: jsonSchema(route.response, 'output') } } };
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, target: 'draft-2020-12', unrepresentable: 'any' });
  return rest;
}
