import { Controller, Get } from '@nestjs/common';
import { describeApi } from './openapi.ts';

@Controller()
export class DescriptionController {
  #description: object | undefined;

  /** OpenAPI 3.1, made from the same table of routes that the server validates by. */
  @Get('openapi.json')
  describe(): object {
    this.#description ??= describeApi();
    return this.#description;
  }
}
