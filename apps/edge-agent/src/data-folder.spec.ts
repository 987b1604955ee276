import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataFolder } from './data-folder.ts';

let root: string;
beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), 'drover-folder-'))));
afterEach(() => rm(root, { recursive: true }));

describe('the data folder', () => {
  it('is closed to others', async () => {
    const folder = new DataFolder(join(root, 'deep', 'agent'));
    const release = await folder.claim();
    for (const path of [folder.path, folder.artifacts, folder.state]) {
      expect((await stat(path)).mode & 0o777).toBe(0o700);
    }
    release();
  });

  it('belongs to one agent at a time', async () => {
    const release = await new DataFolder(root).claim();
    await expect(new DataFolder(root).claim()).rejects.toMatchObject({ code: 'data-folder-in-use' });
    release();
    (await new DataFolder(root).claim())();
  });

  it('that cannot be made is refused by its path', async () => {
    await writeFile(join(root, 'file'), '');
    const folder = new DataFolder(join(root, 'file', 'agent'));
    await expect(folder.claim()).rejects.toMatchObject({
      code: 'data-folder-unusable',
      message: expect.stringContaining('DROVER_AGENT_DATA_DIR'),
    });
  });

  it('holds nothing of the device once it was erased', async () => {
    const folder = new DataFolder(root);
    const release = await folder.claim();
    for (const path of [
      folder.journal,
      folder.twin,
      folder.outbox,
      join(folder.artifacts, 'a'),
      join(folder.state, 's'),
    ]) {
      await writeFile(path, 'secret');
    }
    await folder.erase();
    expect((await readdir(root, { recursive: true })).toSorted()).toEqual(['artifacts', 'lock', 'state']);
    release();
  });
});
