import { OperationError } from '@drover/runtime';

/** What was to be measured did not happen. */
export class BenchFailedError extends OperationError {}
