import { api } from '@drover/contracts';
import { Controller } from '@nestjs/common';
import { Endpoint, ValidInput } from '../../../platform/http/endpoint.decorator.ts';
import type { Input } from '../../../platform/http/endpoint.decorator.ts';
import { SigningKeysService } from './signing-keys.service.ts';

@Controller()
export class KeysController {
  constructor(private readonly keys: SigningKeysService) {}

  @Endpoint(api.keys.list)
  list() {
    return this.keys.list();
  }

  @Endpoint(api.keys.rotate)
  rotate(@ValidInput() input: Input<typeof api.keys.rotate>) {
    return this.keys.rotate(input.params.purpose!);
  }

  @Endpoint(api.keys.retire)
  retire(@ValidInput() input: Input<typeof api.keys.retire>) {
    return this.keys.retire(input.params.purpose!);
  }
}
