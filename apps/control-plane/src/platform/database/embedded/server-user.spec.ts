import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DatabaseUserError } from './errors.ts';
import { chooseServerUser, parsePasswd } from './server-user.ts';

const root = { uid: 0, gid: 0 };
const postgres = { name: 'postgres', uid: 101, gid: 104 };
const nobody = { name: 'nobody', uid: 65534, gid: 65534 };

describe('the accounts of a passwd file', () => {
  it('are read, comments and broken lines skipped', () => {
    const text =
      '# comment\nroot:x:0:0:root:/root:/bin/sh\nbroken\nbad:x:a:b:::\npostgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n';
    expect(parsePasswd(text)).toEqual([{ name: 'root', uid: 0, gid: 0 }, postgres]);
  });

  it('never come out with ids that are no numbers, whatever the text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const account of parsePasswd(text)) expect([account.uid, account.gid].every(Number.isInteger)).toBe(true);
      }),
    );
  });
});

describe('the user of the server', () => {
  it('is ourselves unless we are root', () => {
    expect(chooseServerUser({ uid: 1000, gid: 1000 }, [postgres], postgres)).toEqual({
      uid: 1000,
      gid: 1000,
      name: 'uid 1000',
      switched: false,
    });
  });

  it.each([
    [
      'whoever owns the database',
      [postgres, nobody],
      { uid: 7, gid: 8 },
      { uid: 7, gid: 8, name: 'uid 7', switched: true },
    ],
    ['postgres when there is no database yet', [nobody, postgres], undefined, { ...postgres, switched: true }],
    ['nobody when there is no postgres', [nobody], undefined, { ...nobody, switched: true }],
    ['never root, though root owns the folder', [nobody], root, { ...nobody, switched: true }],
  ])('is for root %s', (_, accounts, owner, expected) => {
    expect(chooseServerUser(root, accounts, owner)).toEqual(expected);
  });

  it('is missed with advice when root finds none', () => {
    expect(() => chooseServerUser(root, [], undefined)).toThrow(DatabaseUserError);
    expect(() => chooseServerUser(root, [], undefined)).toThrow(/DATABASE_URL/);
  });
});
