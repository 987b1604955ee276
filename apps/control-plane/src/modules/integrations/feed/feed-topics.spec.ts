import type { FleetEvent } from '@drover/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { feedTopic, mayReadFeed } from './feed-topics.ts';

const event = (type: string, subject: string, data: Record<string, unknown> = {}): FleetEvent => ({
  id: '1-1',
  fleet: 'default',
  type,
  subject,
  at: '2026-11-20T10:00:00.000Z',
  data,
});

describe('the topic of an event', () => {
  it.each([
    ['device.online', 'd-1', {}, 'drover-events/v1/default/d-1/device.online'],
    ['twin.reported', 'd-1', {}, 'drover-events/v1/default/d-1/twin.reported'],
    ['anomaly.opened', 'a-1', { device: 'd-1' }, 'drover-events/v1/default/d-1/anomaly.opened'],
    ['execution.changed', 'e-1', { device: 'd-1' }, 'drover-events/v1/default/d-1/execution.changed'],
    ['anomaly.opened', 'a-1', {}, 'drover-events/v1/default/-/anomaly.opened'],
    ['anomaly.opened', 'a-1', { device: 'x/#' }, 'drover-events/v1/default/-/anomaly.opened'],
    ['rollout.created', 'r-1', { device: 'd-1' }, 'drover-events/v1/default/-/rollout.created'],
    ['release.ready', 'r-1', {}, 'drover-events/v1/default/-/release.ready'],
    ['api-key.created', 'key_1', {}, null],
    ['enrolment-token.created', 't-1', {}, null],
    ['odd', 'x', {}, null],
  ])('%s about %s', (type, subject, data, topic) => {
    expect(feedTopic(event(type, subject, data))).toBe(topic);
  });
});

describe('a filter', () => {
  it.each([
    ['drover-events/v1/#', true],
    ['drover-events/v1/+/+/device.online', true],
    ['drover-events/v1/default/#', true],
    ['drover-events/v1/default/d-1/+', true],
    ['drover-events/v1/other/#', false],
    ['drover-events/#', false],
    ['drover-events/v1', false],
    ['drover-events/v2/default/#', false],
    ['#', false],
    ['+/v1/default/#', false],
    ['drover/v1/default/d-1/status', false],
    ['$SYS/#', false],
    ['$share/g/drover-events/v1/default/#', false],
    ['', false],
  ])('%s of a key of the fleet "default": %s', (filter, allowed) =>
    expect(mayReadFeed('default', filter)).toBe(allowed),
  );

  it("may name any fleet with the instance administrator's key, nothing else", () => {
    expect(mayReadFeed(null, 'drover-events/v1/other/#')).toBe(true);
    expect(mayReadFeed(null, 'drover/v1/other/#')).toBe(false);
    expect(mayReadFeed(null, 'drover-events/v1/$SYS/#')).toBe(false);
  });

  it('that is allowed never names another fleet', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('drover-events', 'v1', 'default', 'other', '+', '#', '$share', 'd-1', ''), {
          maxLength: 6,
        }),
        (parts) => {
          if (mayReadFeed('default', parts.join('/'))) {
            expect(parts.slice(0, 2)).toEqual(['drover-events', 'v1']);
            expect(['default', '+', '#']).toContain(parts[2]);
          }
        },
      ),
    );
  });
});
