/** The settings of the embedded server, given on its command line so that no file in the data folder can weaken them. */
import { statfsSync } from 'node:fs';
import { totalmem } from 'node:os';

const MiB = 2 ** 20;

export interface Machine {
  /** The memory that this process may use: the machine's, or less in a container. */
  readonly memoryBytes: number;
  /** What /dev/shm holds; 64 MiB in a container unless told otherwise. */
  readonly sharedMemoryBytes: number;
}

export function thisMachine(): Machine {
  const limit = process.constrainedMemory();
  return { memoryBytes: limit > 0 ? Math.min(limit, totalmem()) : totalmem(), sharedMemoryBytes: sizeOfSharedMemory() };
}

function sizeOfSharedMemory(): number {
  try {
    const { blocks, bsize } = statfsSync('/dev/shm');
    return blocks * bsize;
  } catch {
    return 0;
  }
}

/**
 * @param socketFolder where the Unix socket goes
 * @returns server parameters by name; durability is always on
 */
export function serverSettings(machine: Machine, socketFolder: string): Record<string, string> {
  // A sixteenth for the buffers: the control plane, its agents in a demo and the page cache live on the same small machine.
  const sharedBuffersMiB = clamp(Math.floor(machine.memoryBytes / 16 / MiB), 32, 256);
  const cacheMiB = Math.max(2 * sharedBuffersMiB, Math.floor(machine.memoryBytes / 2 / MiB));
  return {
    listen_addresses: '',
    port: '5432',
    // A comma or a blank in the path would otherwise read as a list of folders.
    unix_socket_directories: `"${socketFolder.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',

    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',

    max_connections: '100',
    shared_buffers: `${sharedBuffersMiB}MB`,
    effective_cache_size: `${cacheMiB}MB`,
    max_wal_size: '2GB',
    wal_compression: 'on',
    checkpoint_timeout: '15min',
    autovacuum: 'on',
    // Parallel workers exchange rows through /dev/shm, and a query fails where that is too small.
    ...(machine.sharedMemoryBytes < 512 * MiB
      ? { max_parallel_workers_per_gather: '0', max_parallel_maintenance_workers: '0' }
      : {}),
    // Compiling a query costs more than it saves on the short queries of a control plane.
    jit: 'off',

    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '%m [%p] ',
    log_destination: 'stderr',
    logging_collector: 'off',
  };
}

/** As `postgres` takes them: `-c name=value`. */
export function settingsArguments(settings: Record<string, string>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
