import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ArtifactShelf } from './artifact-shelf.ts';

let shelf: ArtifactShelf;
beforeEach(async () => void (shelf = new ArtifactShelf(await mkdtemp(join(tmpdir(), 'drover-shelf-')))));
afterEach(() => rm(shelf.folder, { recursive: true }));

async function put(text: string): Promise<{ digest: string; sizeBytes: number }> {
  const digest = createHash('sha256').update(text).digest('hex');
  await writeFile(shelf.path(digest), text);
  return { digest, sizeBytes: text.length };
}

describe('the shelf of artifacts', () => {
  it('gives what it has, and knows what it has not', async () => {
    const artifact = await put('model');
    expect(await shelf.has(artifact)).toBe(true);
    expect(await shelf.has({ ...artifact, sizeBytes: 6 })).toBe(false);
    expect(await shelf.has({ digest: '0'.repeat(64), sizeBytes: 5 })).toBe(false);
    expect((await shelf.read(artifact)).toString()).toBe('model');
    await shelf.check(artifact);
  });

  it('finds bits that a memory card lost, and lets go of the artifact', async () => {
    const artifact = await put('model');
    await writeFile(shelf.path(artifact.digest), 'modem');
    await expect(shelf.check(artifact)).rejects.toMatchObject({ code: 'artifact-damaged' });
    expect(await shelf.has(artifact)).toBe(false);
    const other = await put('other');
    await writeFile(shelf.path(other.digest), 'othor');
    await expect(shelf.read(other)).rejects.toMatchObject({ reason: 'digest-mismatch' });
  });

  it('keeps what is needed, with its parts, and removes the rest', async () => {
    const kept = await put('kept');
    const wanted = '1'.repeat(64);
    await put('gone');
    await writeFile(shelf.path(`${wanted}.part`), 'half');
    await writeFile(shelf.path(`${'2'.repeat(64)}.part`), 'half');
    await shelf.sweep(new Set([kept.digest, wanted]));
    expect((await readdir(shelf.folder)).toSorted()).toEqual([kept.digest, `${wanted}.part`].toSorted());
  });
});
