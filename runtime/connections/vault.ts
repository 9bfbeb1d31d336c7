import { join } from "node:path";
import type { Disk } from "../host/disk.ts";

/** What is kept of a connection. Its tokens are sealed, the rest is not secret. Times are milliseconds since the epoch. */
export interface StoredConnection {
  state: "connected" | "lost";
  /** {@link Tokens} as JSON, sealed; absent once it is lost. */
  sealed?: string;
  expiresAt?: number;
  /** Whether there is a refresh token. */
  renews: boolean;
  scopes: string[];
  by: string;
  at: number;
  lost?: { at: number; reason: string };
}

/** The tokens of a connection, as they are sealed. */
export interface Tokens {
  access: string;
  refresh?: string;
}

const FILE = "connections";
const DRAFT = "connections.new";

/**
 * The file of the data folder with all connections. It is replaced as a whole and synced, so that after a kill or a power cut it is the
 * old one or the new one.
 */
export class Vault {
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly folder: string,
    private readonly disk: Disk,
    private readonly stored: Map<string, StoredConnection>,
  ) {}

  /** @param onWarning a damaged file is set aside with a warning; its connections have to be connected again */
  static async open(folder: string, disk: Disk, onWarning: (message: string) => void): Promise<Vault> {
    const path = join(folder, FILE);
    if (!(await disk.list(folder)).includes(FILE)) return new Vault(folder, disk, new Map());
    try {
      const { version, connections } = JSON.parse(new TextDecoder().decode(await disk.read(path)));
      if (version !== 1) throw new Error(`version ${version}`);
      return new Vault(folder, disk, new Map(Object.entries(connections)));
    } catch (error) {
      await disk.rename(path, `${path}.damaged`);
      await disk.syncFolder(folder);
      const message = `${path} cannot be read (${(error as Error).message}) and was set aside as ${FILE}.damaged`;
      onWarning(`${message}: connect its connections again`);
      return new Vault(folder, disk, new Map());
    }
  }

  get(name: string): StoredConnection | undefined {
    return this.stored.get(name);
  }

  names(): string[] {
    return [...this.stored.keys()];
  }

  /** Once it resolves, the change is on disk; until then `get` has the old value. @param connection undefined removes it */
  async put(name: string, connection: StoredConnection | undefined): Promise<void> {
    const write = this.#writing.then(async () => {
      const next = new Map(this.stored);
      if (connection === undefined) next.delete(name);
      else next.set(name, connection);
      await this.#write(next);
      if (connection === undefined) this.stored.delete(name);
      else this.stored.set(name, connection);
    });
    // A failed write does not fail the next one.
    this.#writing = write.catch(() => {});
    await write;
  }

  async #write(connections: Map<string, StoredConnection>): Promise<void> {
    const { folder, disk } = this;
    const text = JSON.stringify({ version: 1, connections: Object.fromEntries(connections) }, null, 2) + "\n";
    const draft = join(folder, DRAFT);
    // A write that was interrupted has left one.
    if ((await disk.list(folder)).includes(DRAFT)) await disk.remove(draft);
    const file = await disk.create(draft);
    try {
      await file.write(new TextEncoder().encode(text));
      await file.sync();
    } finally {
      await file.close();
    }
    await disk.rename(draft, join(folder, FILE));
    await disk.syncFolder(folder);
  }
}
