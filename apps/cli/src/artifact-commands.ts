import { writeFile } from 'node:fs/promises';
import { openAsBlob } from 'node:fs';
import { extname } from 'node:path';
import { InvalidInputError } from '@drover/runtime';
import type { Command } from 'commander';
import { addConnectionOptions, connect } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { formatObject } from './table.ts';

const MEDIA_TYPES: Record<string, string> = { '.csv': 'text/csv', '.onnx': 'application/x-onnx' };

/** Adds `upload` and `download` to the group `artifacts`. */
export function addArtifactCommands(artifacts: Command): void {
  addConnectionOptions(
    artifacts.command('upload').description('Store a file by its SHA-256').argument('<file>'),
  ).action(async (file: string, options: ConnectionOptions) => {
    const bytes = await blobOf(file);
    const artifact = await connect(options).upload(
      bytes.stream() as ReadableStream<Uint8Array>,
      MEDIA_TYPES[extname(file)] ?? 'application/octet-stream',
    );
    process.stdout.write(`${options.json ? JSON.stringify(artifact, null, 2) : formatObject(artifact)}\n`);
  });
  addConnectionOptions(
    artifacts
      .command('download')
      .description('Write the bytes of an artifact to a file')
      .argument('<digest>')
      .argument('<file>'),
  ).action(async (digest: string, file: string, options: ConnectionOptions) => {
    const bytes = await connect(options).download(digest);
    await writeFile(file, bytes);
    process.stdout.write(
      options.json
        ? `${JSON.stringify({ digest, file, sizeBytes: bytes.length })}\n`
        : `${bytes.length} bytes in ${file}\n`,
    );
  });
}

/** @throws InvalidInputError */
async function blobOf(file: string): Promise<Blob> {
  try {
    return await openAsBlob(file);
  } catch (cause) {
    throw new InvalidInputError(`The file ${file} does not exist, or cannot be read.`, { cause });
  }
}
