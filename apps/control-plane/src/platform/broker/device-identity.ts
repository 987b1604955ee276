import { Injectable } from '@nestjs/common';
import type { DevicePrincipal } from './device-gateway.ts';

/** The server's own certificate and the authorities it accepts devices of. PEM. */
export interface TlsMaterial {
  readonly key: string;
  /** The server's certificate followed by its authority's, so that an agent can pin the authority. */
  readonly cert: string;
  /** Accepted device authorities. */
  readonly ca: readonly string[];
}

/** Knows which device a certificate belongs to; never trusts one that was revoked, replaced or has expired. */
export interface DeviceAuthenticator {
  /** @param der the certificate that the TLS handshake has verified against `TlsMaterial.ca` */
  authenticate(der: Uint8Array): Promise<DevicePrincipal | null>;
}

/**
 * Where the listeners get the server's TLS material and the devices' identities from. The module `enrolment` provides both; the
 * listeners (broker, devices' HTTPS) start after it.
 */
@Injectable()
export class DeviceIdentity implements DeviceAuthenticator {
  #material: TlsMaterial | undefined;
  #authenticator: DeviceAuthenticator | undefined;
  readonly #listeners = new Set<(material: TlsMaterial) => void>();

  provide(authenticator: DeviceAuthenticator): void {
    this.#authenticator = authenticator;
  }

  /** Called at start and after each renewal. */
  setMaterial(material: TlsMaterial): void {
    this.#material = material;
    for (const listener of this.#listeners) listener(material);
  }

  get material(): TlsMaterial {
    if (!this.#material) throw new TypeError('the TLS material is read before enrolment has provided it');
    return this.#material;
  }

  /** Told of every later renewal; listeners call `server.setSecureContext`. */
  onMaterialChange(listener: (material: TlsMaterial) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  authenticate(der: Uint8Array): Promise<DevicePrincipal | null> {
    return this.#authenticator?.authenticate(der) ?? Promise.resolve(null);
  }
}
