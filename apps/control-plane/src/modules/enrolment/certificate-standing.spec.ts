import { expect, it } from 'vitest';
import { standingOf } from './certificate-standing.ts';

const good = {
  fleet: 'f',
  device: 'd',
  serial: '1',
  epoch: 2,
  expiresAt: new Date(1_000),
  revokedAt: null,
  deviceEpoch: 2,
  deviceState: 'active',
};

it.each([
  ['valid', good],
  ['unknown', null],
  ['expired', { ...good, expiresAt: new Date(500) }],
  ['revoked', { ...good, revokedAt: new Date(0) }],
  ['replaced', { ...good, deviceEpoch: 3, revokedAt: new Date(0) }],
  ['decommissioned', { ...good, deviceState: 'decommissioned', revokedAt: new Date(0) }],
] as const)('a certificate is %s where its record says so', (standing, record) => {
  expect(standingOf(record, 500)).toBe(standing);
});
