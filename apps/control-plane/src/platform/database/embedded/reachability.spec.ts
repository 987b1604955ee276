import { chmod, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXECUTE, READ, firstClosedFolder, isAllowed, pathFromRoot } from './reachability.ts';

const someone = { uid: 1234, gid: 1234 };

describe('mode bits', () => {
  it.each([
    ['owner', { uid: 1234, gid: 1, mode: 0o500 }, true],
    ['an owner without the bit, though others have it', { uid: 1234, gid: 1234, mode: 0o077 }, false],
    ['group', { uid: 1, gid: 1234, mode: 0o050 }, true],
    ['a group without the bit, though others have it', { uid: 1, gid: 1234, mode: 0o707 }, false],
    ['others', { uid: 1, gid: 1, mode: 0o005 }, true],
    ['nobody else', { uid: 1, gid: 1, mode: 0o770 }, false],
    ['only reading', { uid: 1, gid: 1, mode: 0o004 }, false],
  ])('count one class only: %s', (_, entry, allowed) => {
    expect(isAllowed(entry, someone, READ | EXECUTE)).toBe(allowed);
  });

  it('let root read everything, and execute what anybody may', () => {
    const root = { uid: 0, gid: 0 };
    expect(isAllowed({ uid: 5, gid: 5, mode: 0o000 }, root, READ)).toBe(true);
    expect(isAllowed({ uid: 5, gid: 5, mode: 0o644 }, root, EXECUTE)).toBe(false);
    expect(isAllowed({ uid: 5, gid: 5, mode: 0o744 }, root, EXECUTE)).toBe(true);
  });

  it('never allow more than the sum of all classes', () => {
    const id = fc.integer({ min: 1, max: 3 });
    fc.assert(
      fc.property(id, id, id, id, fc.integer({ min: 0, max: 0o777 }), (uid, gid, owner, group, mode) => {
        const union = (mode | (mode >> 3) | (mode >> 6)) & 7;
        for (const wanted of [READ, EXECUTE, READ | EXECUTE]) {
          if (isAllowed({ uid: owner, gid: group, mode }, { uid, gid }, wanted)) expect(union & wanted).toBe(wanted);
        }
      }),
    );
  });
});

describe('the way to a folder', () => {
  let top: string;
  beforeAll(async () => {
    top = await realpath(await mkdtemp(join(tmpdir(), 'drover-reach-')));
    await mkdir(join(top, 'a', 'b'), { recursive: true });
  });
  afterAll(() => rm(top, { recursive: true }));

  it('is listed from the root down', () => {
    expect(pathFromRoot('/a/b')).toEqual(['/', '/a', '/a/b']);
    expect(pathFromRoot('/')).toEqual(['/']);
  });

  it('is closed at the first folder that does not let the user pass, the folder itself included', async () => {
    await chmod(top, 0o711);
    await chmod(join(top, 'a'), 0o755);
    await chmod(join(top, 'a', 'b'), 0o700);
    expect(await firstClosedFolder(join(top, 'a', 'b'), someone)).toBe(join(top, 'a', 'b'));
    await chmod(top, 0o700);
    expect(await firstClosedFolder(join(top, 'a', 'b'), someone)).toBe(top);
    await chmod(top, 0o711);
    await chmod(join(top, 'a', 'b'), 0o701);
    expect(await firstClosedFolder(join(top, 'a', 'b'), someone)).toBeUndefined();
  });
});
