/** One way to get an artifact's bytes. */
export interface ArtifactSource {
  readonly name: 'mqtt' | 'https';
  /**
   * Gives the bytes from `offset` on, in order, until the artifact ends. Each chunk is valid until the next is asked for.
   *
   * @throws ArtifactUnavailableError, SizeMismatchError (both final for this source), other OperationErrors (worth another try)
   */
  read(request: ReadRequest): AsyncIterable<SourceBytes>;
}

export interface ReadRequest {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly offset: number;
  readonly signal: AbortSignal;
}

export interface SourceBytes {
  /** Where these bytes belong; equal to the end of the previous ones, or 0 where the source had to begin anew. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}
