import type { EnrolResponse } from '@drover/contracts';

/**
 * All that a device keeps of its enrolment. Plain data: storing it (in a file that only its owner reads) is the agent's.
 */
export interface DeviceIdentity extends EnrolResponse {
  /** P-256 as PKCS#8 in PEM. Never leaves the device. */
  readonly privateKeyPem: string;
}

/** What a connection to the server needs of an identity. */
export type ConnectionIdentity = Pick<
  DeviceIdentity,
  'fleet' | 'device' | 'privateKeyPem' | 'certificate' | 'authorities' | 'mqtt' | 'https'
>;
