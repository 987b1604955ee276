import { decodePayload, deviceTopics, digestSchema, getChunkSchema } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import type { OnModuleInit } from '@nestjs/common';
import { DeviceGateway } from '../../../platform/broker/device-gateway.ts';
import type { DeviceMessage, DevicePrincipal } from '../../../platform/broker/device-gateway.ts';
import { DeviceRoutes } from '../../../platform/http/device-listener.ts';
import { NotFoundError } from '../../../platform/http/errors.ts';
import { Metrics } from '../../../platform/metrics.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import { ArtifactRepository } from './artifact.repository.ts';
import { sendArtifact } from './send-artifact.ts';

/** A permission is looked up again after this long: a download is many requests. */
const PERMISSION_TTL_MS = 30_000;
const MAX_PERMISSIONS = 20_000;
/** Chunks read and sent at once over all devices: the throttle that keeps downloads from starving telemetry. */
const MAX_CHUNKS_IN_FLIGHT = 64;

const EMPTY = new Uint8Array(0);

/** Artifact bytes for devices: chunks over MQTT, ranges over HTTPS. Only what a device's desired state names. */
@Injectable()
export class ArtifactDelivery implements OnModuleInit {
  readonly #permissions = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  #inFlight = 0;
  readonly #bytes;

  constructor(
    private readonly gateway: DeviceGateway,
    private readonly routes: DeviceRoutes,
    private readonly artifacts: ArtifactRepository,
    private readonly store: ArtifactStore,
    metrics: Metrics,
  ) {
    this.#bytes = metrics.counter('artifact_bytes_total', 'Artifact bytes sent to devices', ['transport']);
  }

  onModuleInit(): void {
    this.gateway.register('get:chunk', (message) => this.#sendChunk(message));
    for (const method of ['GET', 'HEAD'] as const) {
      this.routes.register({
        method,
        path: '/artifacts/:digest',
        authenticated: true,
        handle: async ({ principal, params, raw }, response) => {
          const digest = digestSchema.safeParse(params.digest);
          if (!digest.success || !(await this.#mayRead(principal!, digest.data)))
            throw NotFoundError.of('artifact', String(params.digest));
          this.#bytes.inc({ transport: 'https' }, method === 'GET' ? await this.store.size(digest.data) : 0);
          await sendArtifact(this.store, { digest: digest.data, mediaType: 'application/octet-stream' }, raw, response);
          return undefined;
        },
      });
    }
  }

  /** An empty chunk says that there is nothing to be had: unknown, not this device's, or past the end. */
  async #sendChunk({ principal, payload }: DeviceMessage): Promise<void> {
    const request = getChunkSchema.safeParse(tryDecode(payload));
    const { publisher } = this.gateway;
    if (!request.success || !publisher) return;
    const { digest, offset, length } = request.data;
    const topic = deviceTopics(principal.fleet, principal.device).chunk(digest, offset);
    await this.#enter();
    try {
      const bytes = (await this.#mayRead(principal, digest))
        ? await this.store.readRange(digest, offset, length).catch(() => EMPTY)
        : EMPTY;
      this.#bytes.inc({ transport: 'mqtt' }, bytes.length);
      await publisher.publish(topic, bytes, { qos: 0 });
    } finally {
      this.#leave();
    }
  }

  async #mayRead(principal: DevicePrincipal, digest: string): Promise<boolean> {
    const key = `${principal.device}/${digest}`;
    const now = Date.now();
    if ((this.#permissions.get(key) ?? 0) > now) return true;
    if (!(await this.artifacts.isDesiredBy(principal.fleet, principal.device, digest))) return false;
    if (this.#permissions.size >= MAX_PERMISSIONS) this.#permissions.clear();
    this.#permissions.set(key, now + PERMISSION_TTL_MS);
    return true;
  }

  async #enter(): Promise<void> {
    // Checked again when woken: another may have come in between.
    while (this.#inFlight >= MAX_CHUNKS_IN_FLIGHT) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#inFlight += 1;
  }

  #leave(): void {
    this.#inFlight -= 1;
    this.#waiting.shift()?.();
  }
}

function tryDecode(payload: Uint8Array): unknown {
  try {
    return decodePayload(payload);
  } catch {
    return undefined;
  }
}
