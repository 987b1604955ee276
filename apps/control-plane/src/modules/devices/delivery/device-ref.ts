/** A device, with the fleet that every statement about it names. */
export interface DeviceRef {
  readonly fleet: string;
  readonly device: string;
}
