import { MAX_CHUNK_BYTES } from '@drover/contracts';
import type { DeviceConnection } from '../connection/device-connection.ts';
import { ChunkTransfer } from './chunk-transfer.ts';
import type { ChunkTransferOptions } from './chunk-transfer.ts';
import type { ArtifactSource, ReadRequest, SourceBytes } from './source.ts';

export interface MqttSourceOptions {
  readonly chunkBytes?: number;
  /** Requests under way at one time; also how many chunks are held in memory. */
  readonly window?: number;
  readonly chunkTimeoutMs?: number;
  /** How often one chunk is asked for before the source gives up. */
  readonly attemptsPerChunk?: number;
}

/** Chunks by digest and offset over the device's MQTT connection: what the device pulls, the server may throttle. */
export class MqttSource implements ArtifactSource {
  readonly name = 'mqtt';
  readonly #connection: DeviceConnection;
  readonly #options: ChunkTransferOptions;

  constructor(connection: DeviceConnection, options: MqttSourceOptions = {}) {
    this.#connection = connection;
    this.#options = {
      chunkBytes: Math.min(options.chunkBytes ?? MAX_CHUNK_BYTES, MAX_CHUNK_BYTES),
      window: options.window ?? 4,
      chunkTimeoutMs: options.chunkTimeoutMs ?? 15_000,
      attemptsPerChunk: options.attemptsPerChunk ?? 4,
    };
  }

  read(request: ReadRequest): AsyncGenerator<SourceBytes> {
    return new ChunkTransfer(this.#connection, request, this.#options).run();
  }
}
