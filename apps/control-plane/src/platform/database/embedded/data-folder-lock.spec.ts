import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataFolderLock } from './data-folder-lock.ts';
import { prepareDataFolder } from './data-folder.ts';
import { DataFolderInUseError, DataFolderNotWritableError } from './errors.ts';

let top: string;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'drover-folder-'));
});
afterEach(() => rm(top, { recursive: true, force: true }));

describe('preparing a data folder', () => {
  it('makes it, and missing parents, for its owner only', async () => {
    const folder = await prepareDataFolder(join(top, 'deep', 'data'));
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    expect(await prepareDataFolder(folder)).toBe(folder);
  });

  it('refuses a file in its place, naming the setting', async () => {
    await writeFile(join(top, 'file'), '');
    await expect(prepareDataFolder(join(top, 'file'))).rejects.toThrow(DataFolderNotWritableError);
    await expect(prepareDataFolder(join(top, 'file', 'below'))).rejects.toThrow(/DROVER_DATA_DIR/);
  });

  it.skipIf(process.getuid?.() === 0)('refuses a folder that cannot be written', async () => {
    await chmod(top, 0o500);
    await expect(prepareDataFolder(top)).rejects.toThrow(DataFolderNotWritableError);
  });
});

describe('the lock of a data folder', () => {
  it('is held once, also within one process, and free again after release', () => {
    const [first, second] = [new DataFolderLock(top), new DataFolderLock(top)];
    first.acquire();
    expect(() => second.acquire()).toThrow(DataFolderInUseError);
    expect(() => first.acquire()).toThrow(DataFolderInUseError);
    first.release();
    second.acquire();
    second.release();
    second.release();
  });

  it('keeps another process out, names the holder, and ends with the holder, even by kill -9', async () => {
    const program = `
      import { DataFolderLock } from ${JSON.stringify(new URL('data-folder-lock.ts', import.meta.url).href)};
      new DataFolderLock(${JSON.stringify(top)}).acquire();
      process.stdout.write('held');
      setInterval(() => undefined, 1000);`;
    const holder = spawn(process.execPath, ['--conditions=source', '--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    const lock = new DataFolderLock(top);
    expect(() => lock.acquire()).toThrow(DataFolderInUseError);
    expect(() => lock.acquire()).toThrow(`process ${holder.pid}`);
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    lock.acquire();
    lock.release();
  });
});
