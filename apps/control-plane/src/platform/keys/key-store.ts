import type { KeyPurpose, KeySet, SignedDocument } from '@drover/contracts';
import { ConflictError } from '../http/errors.ts';
import { Injectable } from '@nestjs/common';
import { exportPrivateKey, generateKeyPair, importPrivateKey, signKeySet } from '@drover/trust';
import type { KeyPair, SigningKey } from '@drover/trust';
import { Database } from '../database/database.ts';
import type { Transaction } from '../database/database.ts';
import { MasterKey } from './master-key.ts';

type StoredPurpose = 'root' | KeyPurpose;

/** Held while keys are made or rotated, so that processes that start together make them once. */
const KEYS_LOCK = 0x64726f76;

/**
 * Private keys, sealed in the database so that several processes can use them: the root that devices pin, the keys it
 * vouches for, and any other secret by name (the certificate authority's).
 */
@Injectable()
export class KeyStore {
  #root: KeyPair | undefined;
  #keys: { purpose: KeyPurpose; pair: KeyPair; retired: boolean }[] = [];
  #document: SignedDocument | undefined;
  #version = 0;

  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
  ) {}

  /** Loads the keys; makes them at the very first start. */
  async start(): Promise<void> {
    await this.database.transaction(async (tx) => {
      await tx.$executeRaw`SELECT pg_advisory_xact_lock(${KEYS_LOCK})`;
      if ((await tx.signingKey.count()) > 0) return;
      const root = await this.#create(tx, 'root');
      const twin = await this.#create(tx, 'twin');
      const manifest = await this.#create(tx, 'manifest');
      await this.#publish(tx, root, 1, [
        { purpose: 'twin', pair: twin },
        { purpose: 'manifest', pair: manifest },
      ]);
    });
    await this.reload();
  }

  /** Reads again what is stored, after another process has rotated. */
  async reload(): Promise<void> {
    const { prisma } = this.database;
    // Keys and key set of one moment, taken over at once: what is signed is never signed by a key that the set lacks.
    const [rows, newest] = await prisma.$transaction(
      [
        prisma.signingKey.findMany({ orderBy: [{ createdAt: 'asc' }, { id: 'asc' }] }),
        prisma.keySetVersion.findFirst({ orderBy: { version: 'desc' } }),
      ],
      { isolationLevel: 'RepeatableRead' },
    );
    const loaded: { purpose: StoredPurpose; pair: KeyPair; retired: boolean }[] = [];
    for (const row of rows) {
      const pem = await this.secret(row.secretName);
      loaded.push({
        purpose: row.purpose as StoredPurpose,
        pair: importPrivateKey(pem.toString('utf8')),
        retired: row.retiredAt !== null,
      });
    }
    // Of two reloads at once the one that read earlier may end later.
    if ((newest?.version ?? 0) < this.#version) return;
    this.#root = loaded.find((key) => key.purpose === 'root')?.pair;
    this.#keys = loaded.filter((key): key is typeof key & { purpose: KeyPurpose } => key.purpose !== 'root');
    this.#document = newest?.document as SignedDocument | undefined;
    this.#version = newest?.version ?? 0;
  }

  /** Ed25519, base64url: what devices pin. */
  get rootPublicKey(): string {
    return this.#loadedRoot().publicKey;
  }

  /** The newest key set, signed by the root. */
  get keySet(): SignedDocument {
    if (!this.#document) throw new ConflictError('The key store has not been started.');
    return this.#document;
  }

  get keySetVersion(): number {
    return this.#version;
  }

  /** What to sign with now: the newest key of the purpose that is not retired. */
  signers(purpose: KeyPurpose): SigningKey[] {
    const newest = this.#keys.findLast((key) => key.purpose === purpose && !key.retired);
    if (!newest) throw new ConflictError('The key store has not been started.');
    return [newest.pair];
  }

  /**
   * Makes a new key for a purpose. The old ones stay in the key set, so that what they signed is still accepted, until
   * `retire` withdraws them.
   */
  async rotate(tx: Transaction, purpose: KeyPurpose): Promise<void> {
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(${KEYS_LOCK})`;
    // Another process may have rotated since the keys were loaded; its keys must not be lost from the key set.
    await this.reload();
    const pair = await this.#create(tx, purpose);
    await this.#publishNext(tx, [...this.#keys.filter((key) => !key.retired), { purpose, pair }]);
  }

  /** Withdraws all but the newest key of a purpose: devices that take the new key set no longer accept them. */
  async retire(tx: Transaction, purpose: KeyPurpose): Promise<void> {
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(${KEYS_LOCK})`;
    await this.reload();
    const newest = this.#keys.findLast((key) => key.purpose === purpose && !key.retired);
    const kept = this.#keys.filter((key) => !key.retired && (key.purpose !== purpose || key === newest));
    await tx.signingKey.updateMany({
      where: { purpose, retiredAt: null, id: { not: newest?.pair.keyId ?? '' } },
      data: { retiredAt: new Date() },
    });
    await this.#publishNext(tx, kept);
  }

  async storeSecret(tx: Transaction, name: string, secret: Uint8Array): Promise<void> {
    await tx.secret.create({ data: { name, sealed: this.masterKey.seal(name, secret) } });
  }

  /** @throws MasterKeyMismatchError, NotFound by Prisma where there is none */
  async secret(name: string): Promise<Buffer> {
    const row = await this.database.prisma.secret.findUniqueOrThrow({ where: { name } });
    return this.masterKey.open(name, row.sealed);
  }

  async #create(tx: Transaction, purpose: StoredPurpose): Promise<KeyPair> {
    const pair = generateKeyPair();
    const secretName = `signing/${pair.keyId}`;
    await this.storeSecret(tx, secretName, Buffer.from(exportPrivateKey(pair)));
    await tx.signingKey.create({ data: { id: pair.keyId, purpose, publicKey: pair.publicKey, secretName } });
    return pair;
  }

  async #publishNext(tx: Transaction, keys: readonly { purpose: KeyPurpose; pair: KeyPair }[]): Promise<void> {
    const newest = await tx.keySetVersion.aggregate({ _max: { version: true } });
    await this.#publish(tx, this.#loadedRoot(), (newest._max.version ?? 0) + 1, keys);
  }

  async #publish(
    tx: Transaction,
    root: KeyPair,
    version: number,
    keys: readonly { purpose: KeyPurpose; pair: KeyPair }[],
  ): Promise<void> {
    const keySet: KeySet = {
      format: 'drover.keys/1',
      version,
      issuedAt: new Date().toISOString(),
      keys: keys.map(({ purpose, pair }) => ({ keyId: pair.keyId, publicKey: pair.publicKey, purposes: [purpose] })),
    };
    await tx.keySetVersion.create({ data: { version, document: signKeySet(keySet, root) as object } });
  }

  #loadedRoot(): KeyPair {
    if (!this.#root) throw new ConflictError('The key store has not been started.');
    return this.#root;
  }
}
