import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serverSettings, settingsArguments } from './server-settings.ts';

const MiB = 2 ** 20;
const machine = fc.record({ memoryBytes: fc.nat({ max: 2 ** 40 }), sharedMemoryBytes: fc.nat({ max: 2 ** 40 }) });

describe('the settings of the server', () => {
  it('are durable and closed to the network, whatever the machine', () => {
    fc.assert(
      fc.property(machine, fc.string(), (size, folder) => {
        const settings = serverSettings(size, folder);
        expect(settings).toMatchObject({
          fsync: 'on',
          synchronous_commit: 'on',
          full_page_writes: 'on',
          listen_addresses: '',
        });
      }),
    );
  });

  it.each([
    [512, '32MB'],
    [1024, '64MB'],
    [4096, '256MB'],
    [65_536, '256MB'],
  ])('give a machine with %d MiB buffers of %s', (memoryMiB, buffers) => {
    const settings = serverSettings({ memoryBytes: memoryMiB * MiB, sharedMemoryBytes: 0 }, '/run');
    expect(settings['shared_buffers']).toBe(buffers);
  });

  it('do without parallel queries where shared memory is too small for them', () => {
    const small = serverSettings({ memoryBytes: 2 ** 33, sharedMemoryBytes: 64 * MiB }, '/run');
    expect(small['max_parallel_workers_per_gather']).toBe('0');
    const large = serverSettings({ memoryBytes: 2 ** 33, sharedMemoryBytes: 2 ** 32 }, '/run');
    expect(large).not.toHaveProperty('max_parallel_workers_per_gather');
  });

  it('keep a folder with commas, blanks and quotes in one piece', () => {
    const settings = serverSettings({ memoryBytes: 2 ** 33, sharedMemoryBytes: 0 }, '/a b, "c"');
    expect(settingsArguments(settings)).toContain('unix_socket_directories="/a b, ""c"""');
  });
});
