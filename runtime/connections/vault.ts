import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { type Disk, replaceFile } from "../host/disk.ts";
import { messageOf } from "../model/errors.ts";

/** A connection as it is stored. Its tokens are sealed, the rest is not secret. Times are milliseconds since the epoch. */
export interface StoredConnection {
  state: "connected" | "lost";
  /** {@link Tokens} as JSON, sealed; absent once it is lost. */
  sealed?: string;
  expiresAt?: number;
  /** Whether there is a refresh token. */
  renews: boolean;
  scopes: string[];
  /** The fingerprint of the settings with which it was connected. */
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

/** An attempt to connect, as it is stored. Times are milliseconds since the epoch. */
export interface StoredAttempt {
  connection: string;
  /** The fingerprint of the settings with which it began. */
  fingerprint: string;
  by: string;
  until: number;
  state: "waiting" | "connected" | "failed";
  error?: string;
  /** What the answer of the server is exchanged with, sealed; absent for a device, and once it was used. */
  sealed?: string;
}

/** A file of the data folder with sealed secrets. */
type VaultFile = "connections" | "hooks" | "attempts";

/** How replicas share the files of their data folder. */
export interface SharedFiles {
  /** Runs work while no other replica runs any under the same name; waits for its turn. */
  inTurn<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Brings a file of the data folder to its newest content. */
  refresh(file: string): Promise<unknown>;
  /** Tells the other replicas that a file has changed. */
  announce(file: string): Promise<void>;
  /** Differs after each announcement. */
  announced(file: string): Promise<unknown>;
}

/**
 * A file of the data folder with sealed secrets, by name. It is replaced as a whole, all or nothing. If replicas share it, each has
 * its entries in memory and reads them again after a change of another one.
 */
export class Vault<T = StoredConnection> {
  /** Counts the changes. */
  changes = 0;
  /** Called after entries were changed by another replica. */
  onRefreshed: () => void = () => {};
  #stored = new Map<string, T>();
  /** The content of the file with these entries. */
  #text: string | undefined;
  #writing: Promise<void> = Promise.resolve();
  /** The last announcement that was followed. */
  #seen: unknown;

  private constructor(
    private readonly file: VaultFile,
    private readonly folder: string,
    private readonly disk: Disk,
    private readonly shared: SharedFiles | undefined,
  ) {}

  /**
   * @param onWarning a damaged file is set aside with a warning
   * @param shared set if other replicas use the file too
   */
  static async open<T = StoredConnection>(
    folder: string,
    disk: Disk,
    onWarning: (message: string) => void,
    file: VaultFile = "connections",
    shared?: SharedFiles,
  ): Promise<Vault<T>> {
    const vault = new Vault<T>(file, folder, disk, shared);
    // Before the file: a change between the two is followed later.
    vault.#seen = await shared?.announced(file);
    await shared?.refresh(file);
    try {
      await vault.#read();
    } catch (error) {
      const path = join(folder, file);
      await disk.rename(path, `${path}.damaged`);
      await disk.syncFolder(folder);
      const message = `${path} cannot be read (${messageOf(error)}) and was set aside as ${file}.damaged`;
      onWarning(`${message}: what it held has to be connected again`);
    }
    return vault;
  }

  get(name: string): T | undefined {
    return this.#stored.get(name);
  }

  names(): string[] {
    return [...this.#stored.keys()];
  }

  /**
   * Runs work on an entry that no other replica may do at the same time, with the newest entries in memory. Within the work, `put` can
   * be used, but not this.
   */
  alone<R>(name: string, work: () => Promise<R>): Promise<R> {
    if (this.shared === undefined) return work();
    return this.shared.inTurn(`${this.file}/${name}`, async () => {
      await this.#inOrder(() => this.#refresh());
      return await work();
    });
  }

  /** Reads the entries again if other replicas use the file: they may have changed them just now. */
  async refresh(): Promise<void> {
    if (this.shared !== undefined) await this.#inOrder(() => this.#refresh());
  }

  /** Reads the entries again if another replica has told that it has changed them. */
  async followChanges(): Promise<void> {
    const announced = await this.shared?.announced(this.file);
    if (announced === this.#seen) return;
    await this.#inOrder(() => this.#refresh());
    this.#seen = announced;
  }

  /** Resolves when the change is on disk; until then `get` has the old value. @param entry undefined removes it */
  put(name: string, entry: T | undefined): Promise<void> {
    return this.#inOrder(async () => {
      if (this.shared === undefined) return await this.#put(name, entry);
      await this.shared.inTurn(this.file, async () => {
        await this.#refresh();
        await this.#put(name, entry);
      });
      await this.shared.announce(this.file);
    });
  }

  async #put(name: string, entry: T | undefined): Promise<void> {
    const next = new Map(this.#stored);
    if (entry === undefined) next.delete(name);
    else next.set(name, entry);
    await this.#write(next);
    if (entry === undefined) this.#stored.delete(name);
    else this.#stored.set(name, entry);
    this.changes++;
  }

  async #refresh(): Promise<void> {
    await this.shared!.refresh(this.file);
    if (!await this.#read()) return;
    this.changes++;
    this.onRefreshed();
  }

  /** A failed change does not fail the next one. */
  async #inOrder(change: () => Promise<void>): Promise<void> {
    const changing = this.#writing.then(change);
    this.#writing = changing.catch(() => {});
    await changing;
  }

  /** @returns whether the file has other entries than before */
  async #read(): Promise<boolean> {
    const exists = (await this.disk.list(this.folder)).includes(this.file);
    const bytes = exists ? await this.disk.read(join(this.folder, this.file)) : undefined;
    const text = bytes && new TextDecoder().decode(bytes);
    if (text === this.#text) return false;
    const { version, entries } = text === undefined ? { version: 1, entries: {} } : JSON.parse(text);
    if (version !== 1) throw new Error(`version ${version}`);
    [this.#stored, this.#text] = [new Map<string, T>(Object.entries(entries)), text];
    return true;
  }

  async #write(entries: Map<string, T>): Promise<void> {
    const text = JSON.stringify({ version: 1, entries: Object.fromEntries(entries) }, null, 2) + "\n";
    await replaceFile(this.disk, this.folder, this.file, new TextEncoder().encode(text));
    this.#text = text;
  }
}

/** The most tokens of a connection that are masked, with replaced ones: a server may accept these for a while. */
const MASKED = 6;

/** Options of `SealedTokens`. */
export interface SealedTokensOptions {
  vault: Vault;
  /** The value of a secret; it counts as used and is masked from then on. */
  secretOf(name: string): string | undefined;
  /** Masks these texts in all output, instead of those given before under the same name. */
  hide(name: string, texts: string[]): void;
}

/** The tokens of connections, sealed in the data folder. None is used before it is on disk. */
export class SealedTokens {
  #seal: Seal | string = Seal.of(undefined);
  /** Granted tokens that are not on disk yet. They are used only after that, and not requested again. */
  readonly #unsaved = new Map<string, StoredConnection>();
  readonly #masked = new Map<string, string[]>();

  constructor(private readonly options: SealedTokensOptions) {
    options.vault.onRefreshed = () => this.#maskAll();
  }

  #maskAll(): void {
    for (const name of this.names()) {
      const found = this.get(name);
      if (found !== undefined) this.mask(name, found.tokens);
    }
  }

  /** See {@link Vault.alone}. */
  alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.options.vault.alone(name, work);
  }

  /** Reads `WHENTHEN_KEY` again, and masks all tokens. @returns the connections whose tokens another key than the first has sealed */
  readKey(): string[] {
    const { vault, secretOf, hide } = this.options;
    const key = secretOf(KEY_NAME);
    hide(KEY_NAME, key?.split(",").map((part) => part.trim()) ?? []);
    const seal = this.#seal = Seal.of(key);
    return vault.names().filter((name) => {
      const found = this.get(name);
      if (found === undefined) return false;
      this.mask(name, found.tokens);
      return typeof seal !== "string" && !seal.isCurrent(found.stored.sealed!);
    });
  }

  /** The problem of `WHENTHEN_KEY` because of which nothing can be sealed. */
  get fault(): string | undefined {
    return typeof this.#seal === "string" ? this.#seal : undefined;
  }

  /** Seals other texts with the same key; undefined without one. */
  get seal(): Seal | undefined {
    return typeof this.#seal === "string" ? undefined : this.#seal;
  }

  /** A connection as it is on disk, with or without readable tokens. */
  stored(name: string): StoredConnection | undefined {
    return this.options.vault.get(name);
  }

  /** A connection with its tokens, as they are on disk; undefined if it has none, or none that can be read. */
  get(name: string): { stored: StoredConnection; tokens: Tokens } | undefined {
    const stored = this.stored(name);
    if (stored?.sealed === undefined || typeof this.#seal === "string") return undefined;
    const text = this.#seal.open(name, stored.sealed);
    return text === undefined ? undefined : { stored, tokens: JSON.parse(text) };
  }

  /**
   * Keeps tokens. Resolves when they are on disk. If that fails, they stay in memory, and {@link save} tries again.
   * @throws Error without a key
   */
  async keep(name: string, stored: StoredConnection, tokens: Tokens): Promise<void> {
    if (typeof this.#seal === "string") throw new Error(`Cannot keep the tokens of "${name}": ${this.#seal}`);
    this.mask(name, tokens);
    this.#unsaved.set(name, { ...stored, sealed: this.#seal.seal(name, JSON.stringify(tokens)) });
    await this.save(name);
  }

  /** Writes tokens that could not be written before. */
  async save(name: string): Promise<void> {
    const unsaved = this.#unsaved.get(name);
    if (unsaved === undefined) return;
    await this.options.vault.put(name, unsaved);
    if (this.#unsaved.get(name) === unsaved) this.#unsaved.delete(name);
  }

  /** Stores a connection without tokens; undefined removes it. */
  async put(name: string, stored: StoredConnection | undefined): Promise<void> {
    this.#unsaved.delete(name);
    await this.options.vault.put(name, stored);
  }

  names(): string[] {
    return this.options.vault.names();
  }

  /** Masks tokens in all output, with those before them. */
  mask(name: string, { access, refresh }: Tokens): void {
    const before = this.#masked.get(name) ?? [];
    const texts = [...new Set([access, ...refresh === undefined ? [] : [refresh], ...before])].slice(0, MASKED);
    this.#masked.set(name, texts);
    this.options.hide(`connection ${name}`, texts);
  }
}

/** The name of the secret with the keys, and how to make one. */
export const KEY_NAME = "WHENTHEN_KEY";
export const MAKE_KEY = `make a key with: openssl rand -base64 32, and set it as ${KEY_NAME}`;

const VERSION = "v1";
/** Bytes of an AES-256 key, and of GCM's initialization vector and tag (NIST SP 800-38D). */
const KEY = 32;
const IV = 12;
const TAG = 16;

/** Seals texts with the first of its keys, and opens those that any of its keys has sealed. AES-256-GCM. */
export class Seal {
  private constructor(private readonly keys: { id: string; key: Uint8Array }[]) {}

  /**
   * @param text the value of `WHENTHEN_KEY`: one key of 32 bytes in base64 or hex; while one replaces another, the new one first, a comma,
   * and the old one
   * @returns the problem as a text if it is no such value
   */
  static of(text: string | undefined): Seal | string {
    if (text === undefined || text.trim() === "") return `${KEY_NAME} is not set: ${MAKE_KEY}`;
    const keys = text.split(",").map((part) => decodeKey(part.trim()));
    const wrong = keys.findIndex((key) => key === undefined);
    if (wrong === -1) return new Seal(keys.filter((key) => key !== undefined).map((key) => ({ id: idOf(key), key })));
    const which = keys.length === 1 ? KEY_NAME : `Key ${wrong + 1} of ${KEY_NAME}`;
    return `${which} is not a key of 32 bytes in base64 or hex: ${MAKE_KEY}`;
  }

  /** @param name of the owner of the text, under which alone it can be opened */
  seal(name: string, text: string): string {
    const [{ id, key }] = this.keys;
    const iv = randomBytes(IV);
    const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(name));
    const sealed = Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return [VERSION, id, sealed.toString("base64url")].join(".");
  }

  /** Undefined if none of the keys has sealed it, or if it was changed. */
  open(name: string, sealed: string): string | undefined {
    const [version, id, text = ""] = sealed.split(".");
    const key = this.keys.find((key) => key.id === id)?.key;
    const bytes = Buffer.from(text, "base64url");
    if (version !== VERSION || key === undefined || bytes.length < IV + TAG) return undefined;
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, IV), { authTagLength: TAG });
      decipher.setAAD(Buffer.from(name)).setAuthTag(bytes.subarray(-TAG));
      return Buffer.concat([decipher.update(bytes.subarray(IV, -TAG)), decipher.final()]).toString("utf8");
    } catch {
      return undefined;
    }
  }

  /** Whether the first key has sealed it, so that it needs no other key. */
  isCurrent(sealed: string): boolean {
    return sealed.split(".")[1] === this.keys[0].id;
  }
}

function decodeKey(text: string): Uint8Array | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, "hex");
  const bytes = /^[A-Za-z0-9+/_-]{43}=?$/.test(text) ? Buffer.from(text, "base64") : undefined;
  return bytes?.length === KEY ? bytes : undefined;
}

function idOf(key: Uint8Array): string {
  return createHash("sha256").update("whenthen key id").update(key).digest("hex").slice(0, 12);
}
