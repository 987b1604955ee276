import { isIPv6 } from 'node:net';
import { Injectable } from '@nestjs/common';
import { Config } from '../../config/config.ts';
import { Listeners } from '../../platform/listeners.ts';

/** Of an answer to a device. */
const MAX_URLS = 8;

/** Names under which the listeners are entered. */
export const DEVICE_HTTPS = 'device-https';
export const DEVICE_MQTT = 'device-mqtt';

/** The addresses that devices are told: the public hosts, with the ports that are really listened on. */
@Injectable()
export class PublicAddresses {
  constructor(
    private readonly config: Config,
    private readonly listeners: Listeners,
  ) {}

  get https(): string[] {
    return this.#urls('https', DEVICE_HTTPS, this.config.device.DROVER_DEVICE_HTTPS_PORT);
  }

  get mqtt(): string[] {
    const { MQTT_URL: broker, DROVER_DEVICE_MQTT_URLS: urls } = this.config.device;
    if (broker !== undefined) return urls ?? [`${new URL(broker).protocol}//${new URL(broker).host}`];
    return this.#urls('mqtts', DEVICE_MQTT, this.config.device.DROVER_MQTT_PORT);
  }

  /** Where this process does not listen, another one does, on the port that is configured. */
  #urls(scheme: string, listener: string, configured: number): string[] {
    const bound = this.listeners.url(listener);
    const port = bound === undefined ? String(configured) : /:(\d+)\/?$/.exec(bound)?.[1];
    const hosts = this.config.device.DROVER_PUBLIC_HOSTS.slice(0, MAX_URLS);
    return hosts.map((host) => `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`);
  }
}
