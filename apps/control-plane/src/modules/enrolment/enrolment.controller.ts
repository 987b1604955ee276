import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import type { Caller } from '../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../platform/http/endpoint.decorator.ts';
import { EnrolmentTokenService } from './enrolment-token.service.ts';
import { RevocationService } from './revocation.service.ts';

@Controller()
export class EnrolmentController {
  constructor(
    private readonly tokens: EnrolmentTokenService,
    private readonly revocation: RevocationService,
  ) {}

  @Endpoint(api.enrolmentTokens.list)
  listTokens(@ValidInput() input: Input<typeof api.enrolmentTokens.list>, @TheCaller() caller: Caller) {
    return this.tokens.list(caller.fleet, input.query);
  }

  @Endpoint(api.enrolmentTokens.create)
  createToken(@ValidInput() input: Input<typeof api.enrolmentTokens.create>, @TheCaller() caller: Caller) {
    return this.tokens.create(caller.fleet, input.body);
  }

  @Endpoint(api.enrolmentTokens.revoke)
  revokeToken(@ValidInput() input: Input<typeof api.enrolmentTokens.revoke>, @TheCaller() caller: Caller) {
    return this.tokens.revoke(caller.fleet, input.params.id!);
  }

  @Endpoint(api.devices.certificates)
  certificates(@ValidInput() input: Input<typeof api.devices.certificates>, @TheCaller() caller: Caller) {
    return this.revocation.list(caller.fleet, input.params.device!);
  }

  @Endpoint(api.devices.revokeCertificates)
  revokeCertificates(@ValidInput() input: Input<typeof api.devices.revokeCertificates>, @TheCaller() caller: Caller) {
    return this.revocation.revokeCertificates(caller.fleet, input.params.device!, input.body.reason);
  }

  @Endpoint(api.devices.decommission)
  decommission(@ValidInput() input: Input<typeof api.devices.decommission>, @TheCaller() caller: Caller) {
    return this.revocation.decommission(caller.fleet, input.params.device!);
  }
}
