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
  /** Of the settings with which it was connected. */
  fingerprint: string;
  by: string;
  at: number;
  lost?: { at: number; reason: string };
}

/** The tokens of a connection, as they are sealed. */
export interface Tokens {
  access: string;
  refresh?: string;
}

/** The secrets that a provider has given to a webhook in handshakes. Times are milliseconds since the epoch. */
export interface StoredHook {
  rule: string;
  trigger: string;
  /** Handshakes are accepted until then. */
  openUntil: number;
  secrets: { id: string; sealed: string; at: number }[];
}

/** A file of the data folder with sealed secrets. */
export type VaultFile = "connections" | "hooks";

/**
 * A file of the data folder with sealed secrets, by name. It is replaced as a whole and synced, so that after a kill or a power cut it
 * is the old one or the new one.
 */
export class Vault<T = StoredConnection> {
  /** Counts what has changed. */
  changes = 0;
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly file: VaultFile,
    private readonly folder: string,
    private readonly disk: Disk,
    private readonly stored: Map<string, T>,
  ) {}

  /** @param onWarning a damaged file is set aside with a warning */
  static async open<T = StoredConnection>(
    folder: string,
    disk: Disk,
    onWarning: (message: string) => void,
    file: VaultFile = "connections",
  ): Promise<Vault<T>> {
    const path = join(folder, file);
    if (!(await disk.list(folder)).includes(file)) return new Vault(file, folder, disk, new Map<string, T>());
    try {
      const { version, entries } = JSON.parse(new TextDecoder().decode(await disk.read(path)));
      if (version !== 1) throw new Error(`version ${version}`);
      return new Vault(file, folder, disk, new Map<string, T>(Object.entries(entries)));
    } catch (error) {
      await disk.rename(path, `${path}.damaged`);
      await disk.syncFolder(folder);
      const message = `${path} cannot be read (${(error as Error).message}) and was set aside as ${file}.damaged`;
      onWarning(`${message}: what it held has to be connected again`);
      return new Vault(file, folder, disk, new Map<string, T>());
    }
  }

  get(name: string): T | undefined {
    return this.stored.get(name);
  }

  names(): string[] {
    return [...this.stored.keys()];
  }

  /** Once it resolves, the change is on disk; until then `get` has the old value. @param entry undefined removes it */
  async put(name: string, entry: T | undefined): Promise<void> {
    const write = this.#writing.then(async () => {
      const next = new Map(this.stored);
      if (entry === undefined) next.delete(name);
      else next.set(name, entry);
      await this.#write(next);
      if (entry === undefined) this.stored.delete(name);
      else this.stored.set(name, entry);
      this.changes++;
    });
    // A failed write does not fail the next one.
    this.#writing = write.catch(() => {});
    await write;
  }

  async #write(entries: Map<string, T>): Promise<void> {
    const { file: name, folder, disk } = this;
    const text = JSON.stringify({ version: 1, entries: Object.fromEntries(entries) }, null, 2) + "\n";
    const draft = join(folder, `${name}.new`);
    // A write that was interrupted has left one.
    if ((await disk.list(folder)).includes(`${name}.new`)) await disk.remove(draft);
    const file = await disk.create(draft);
    try {
      await file.write(new TextEncoder().encode(text));
      await file.sync();
    } finally {
      await file.close();
    }
    await disk.rename(draft, join(folder, name));
    await disk.syncFolder(folder);
  }
}
