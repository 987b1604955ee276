import { api } from '@drover/contracts';
import { Controller, Header } from '@nestjs/common';
import type { Caller } from '../../../platform/http/caller.ts';
import { Endpoint, TheCaller, ValidInput } from '../../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../../platform/http/endpoint.decorator.ts';
import { ReleaseService } from './release.service.ts';

@Controller()
export class ReleaseController {
  constructor(private readonly releases: ReleaseService) {}

  @Endpoint(api.releases.list)
  list(@ValidInput() input: Input<typeof api.releases.list>, @TheCaller() caller: Caller) {
    return this.releases.list(caller.fleet, input.query);
  }

  @Endpoint(api.releases.get)
  get(@ValidInput() input: Input<typeof api.releases.get>, @TheCaller() caller: Caller) {
    return this.releases.get(caller.fleet, input.params.release!);
  }

  @Endpoint(api.releases.manifest)
  manifest(@ValidInput() input: Input<typeof api.releases.manifest>, @TheCaller() caller: Caller) {
    return this.releases.manifest(caller.fleet, input.params.release!);
  }

  @Endpoint(api.releases.variants)
  variants(@ValidInput() input: Input<typeof api.releases.variants>, @TheCaller() caller: Caller) {
    return this.releases.variants(caller.fleet, input.params.release!);
  }

  @Endpoint(api.releases.card)
  card(@ValidInput() input: Input<typeof api.releases.card>, @TheCaller() caller: Caller) {
    return this.releases.card(caller.fleet, input.params.release!);
  }

  @Endpoint(api.releases.cardText)
  @Header('content-type', 'text/markdown; charset=utf-8')
  cardText(@ValidInput() input: Input<typeof api.releases.cardText>, @TheCaller() caller: Caller): Promise<string> {
    return this.releases.cardText(caller.fleet, input.params.release!);
  }
}
