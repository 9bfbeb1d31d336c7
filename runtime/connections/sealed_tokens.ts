import { KEY_NAME, Seal } from "./seal.ts";
import type { StoredConnection, Tokens, Vault } from "./vault.ts";

/** Tokens of a connection that are still masked after they were replaced: a server may accept them for a while. */
const MASKED = 6;

/** What the sealed tokens need. */
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
  /** Granted tokens that could not be written to disk yet. They are used only after that, and asked for no second time. */
  readonly #unsaved = new Map<string, StoredConnection>();
  readonly #masked = new Map<string, string[]>();

  constructor(private readonly options: SealedTokensOptions) {}

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

  /** What is wrong with `WHENTHEN_KEY`, so that nothing can be sealed. */
  get fault(): string | undefined {
    return typeof this.#seal === "string" ? this.#seal : undefined;
  }

  /** What is on disk of a connection, with or without readable tokens. */
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
   * Keeps tokens; once it resolves, they are on disk. If that fails, they are kept in memory, and {@link save} tries again.
   * @throws Error without a key
   */
  async keep(name: string, stored: StoredConnection, tokens: Tokens): Promise<void> {
    if (typeof this.#seal === "string") throw new Error(`Cannot keep the tokens of "${name}": ${this.#seal}`);
    this.mask(name, tokens);
    this.#unsaved.set(name, { ...stored, sealed: this.#seal.seal(name, JSON.stringify(tokens)) });
    await this.save(name);
  }

  /** Writes what could not be written before. */
  async save(name: string): Promise<void> {
    const unsaved = this.#unsaved.get(name);
    if (unsaved === undefined) return;
    await this.options.vault.put(name, unsaved);
    if (this.#unsaved.get(name) === unsaved) this.#unsaved.delete(name);
  }

  /** Changes what is known of a connection without tokens; undefined removes it. */
  async put(name: string, stored: StoredConnection | undefined): Promise<void> {
    this.#unsaved.delete(name);
    await this.options.vault.put(name, stored);
  }

  names(): string[] {
    return this.options.vault.names();
  }

  mask(name: string, { access, refresh }: Tokens): void {
    const before = this.#masked.get(name) ?? [];
    const texts = [...new Set([access, ...refresh === undefined ? [] : [refresh], ...before])].slice(0, MASKED);
    this.#masked.set(name, texts);
    this.options.hide(`connection ${name}`, texts);
  }
}
