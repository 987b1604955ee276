import { systemClock } from '@drover/runtime';
import { Module } from '@nestjs/common';
import { DevicesModule } from '../devices/devices.module.ts';
import { AuthorityRepository } from './authority/authority.repository.ts';
import { CertificateAuthority } from './authority/certificate-authority.service.ts';
import { TlsMaterialService } from './authority/tls-material.service.ts';
import { CertificateRepository } from './certificate.repository.ts';
import { CLOCK } from './clock.ts';
import { DeviceAuthenticator } from './device-authenticator.ts';
import { EnrolmentController } from './enrolment.controller.ts';
import { EnrolmentRoutes } from './enrolment.routes.ts';
import { EnrolmentService } from './enrolment.service.ts';
import { EnrolmentTokenRepository } from './enrolment-token.repository.ts';
import { EnrolmentTokenService } from './enrolment-token.service.ts';
import { KeysController } from './keys/keys.controller.ts';
import { SigningKeyRepository } from './keys/signing-key.repository.ts';
import { SigningKeysService } from './keys/signing-keys.service.ts';
import { DeviceHttpsListener } from './listener/device-https.listener.ts';
import { PublicAddresses } from './public-addresses.ts';
import { RevocationService } from './revocation.service.ts';

@Module({
  imports: [DevicesModule],
  controllers: [EnrolmentController, KeysController],
  providers: [
    { provide: CLOCK, useValue: systemClock },
    AuthorityRepository,
    CertificateAuthority,
    CertificateRepository,
    DeviceAuthenticator,
    DeviceHttpsListener,
    EnrolmentRoutes,
    EnrolmentService,
    EnrolmentTokenRepository,
    EnrolmentTokenService,
    PublicAddresses,
    RevocationService,
    SigningKeyRepository,
    SigningKeysService,
    TlsMaterialService,
  ],
  exports: [CertificateAuthority, PublicAddresses],
})
export class EnrolmentModule {}
