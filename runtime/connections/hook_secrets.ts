import { randomBytes } from "node:crypto";
import type { Clock } from "../host/clock.ts";
import { UsageError } from "../model/errors.ts";
import { KEY_NAME, Seal, type StoredHook, type Vault } from "./vault.ts";

/** The most secrets of one webhook: while it is open, anybody may offer some. */
const MOST_SECRETS = 100;
/** The fewest and the most characters of a secret. Secrets are masked in all output, and a short one could be a common word. */
const SHORTEST = 16;
const LONGEST = 200;

/** A webhook trigger. */
export interface HookKey {
  rule: string;
  trigger: string;
}

/** A webhook and its secrets, for listings: without their values. Times are milliseconds since the epoch. */
export interface HookListing extends HookKey {
  /** Handshakes are accepted until then; absent if it is closed. */
  openUntil?: number;
  secrets: { id: string; at: number; readable: boolean }[];
}

/** Options of `HookSecrets`. */
export interface HookSecretsOptions {
  clock: Clock;
  vault: Vault<StoredHook>;
  secretOf(name: string): string | undefined;
  /** Masks these texts in all output, instead of those given before under the same name. */
  hide(name: string, texts: string[]): void;
  log(level: "info" | "warn", message: string): void;
}

/**
 * The secrets that a provider gives in a handshake (`auth: asana`), sealed in the data folder. A secret is accepted only while
 * somebody has opened the webhook for it, as anyone who knows it can send events.
 */
export class HookSecrets {
  #seal: Seal | string = Seal.of(undefined);
  readonly #values = new Map<string, string[]>();
  /** Changes run one at a time, as each begins with the result of the one before. */
  #changes: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: HookSecretsOptions) {
    options.vault.onRefreshed = () => this.#readAll();
  }

  /** Reads `WHENTHEN_KEY` again; secrets that another key than the first has sealed are sealed again. */
  async readKey(): Promise<void> {
    this.#seal = Seal.of(this.options.secretOf(KEY_NAME));
    // At once, as deliveries arrive meanwhile.
    this.#readAll();
    if (this.options.vault.names().some((name) => !this.#isCurrent(name))) await this.#alone(() => this.#sealAgain());
  }

  #readAll(): void {
    const names = this.options.vault.names();
    for (const name of new Set([...this.#values.keys(), ...names])) this.#read(name);
  }

  /** Whether the first key has sealed all secrets of a webhook, as far as there is one. */
  #isCurrent(name: string): boolean {
    const seal = this.#seal;
    return typeof seal === "string" ||
      this.options.vault.get(name)!.secrets.every(({ sealed }) => seal.isCurrent(sealed));
  }

  async #sealAgain(): Promise<void> {
    const { vault } = this.options;
    const seal = this.#seal;
    if (typeof seal === "string") return;
    for (const name of vault.names()) {
      if (this.#isCurrent(name)) continue;
      const stored = vault.get(name)!;
      const secrets = stored.secrets.map((secret) => {
        const value = seal.open(name, secret.sealed);
        return value === undefined ? secret : { ...secret, sealed: seal.seal(name, value) };
      });
      await vault.put(name, { ...stored, secrets });
    }
  }

  /** The secrets with which a webhook's deliveries may be signed. */
  of(key: HookKey): string[] {
    return this.#values.get(nameOf(key)) ?? [];
  }

  #alone<T>(change: () => Promise<T>): Promise<T> {
    const changing = this.#changes.then(() => this.options.vault.alone("", change));
    this.#changes = changing.catch(() => {});
    return changing;
  }

  /** Accepts handshakes for some time. @throws UsageError without a key */
  async open(key: HookKey, ms: number, by: string): Promise<HookListing> {
    if (typeof this.#seal === "string") {
      throw new UsageError(`Cannot open the webhook of ${key.rule}: its secrets could not be kept, as ${this.#seal}`);
    }
    const { clock, vault, log } = this.options;
    const name = nameOf(key);
    const openUntil = clock.now() + ms;
    const { rule, trigger } = key;
    await this.#alone(() => vault.put(name, { rule, trigger, secrets: vault.get(name)?.secrets ?? [], openUntil }));
    const until = new Date(openUntil).toISOString();
    log("info", `${rule}: ${trigger} accepts handshakes until ${until}, opened by ${by}`);
    return this.#listing(name);
  }

  /**
   * Adds the secret of a handshake. Resolves when it is on disk.
   * @returns false if the webhook is not open, or the secret is too short or too long
   */
  offer(key: HookKey, secret: string): Promise<boolean> {
    // Anybody may send offers: without an open webhook they cost nothing.
    return this.#isOpen(key) ? this.#alone(() => this.#offer(key, secret)) : Promise.resolve(false);
  }

  #isOpen(key: HookKey): boolean {
    const { clock, vault } = this.options;
    return (vault.get(nameOf(key))?.openUntil ?? 0) > clock.now();
  }

  async #offer(key: HookKey, secret: string): Promise<boolean> {
    const { clock, vault, log } = this.options;
    const name = nameOf(key);
    const stored = vault.get(name);
    if (stored === undefined || !this.#isOpen(key) || typeof this.#seal === "string") return false;
    if (secret.length < SHORTEST || secret.length > LONGEST || stored.secrets.length >= MOST_SECRETS) return false;
    // The provider repeats a handshake whose answer it did not get.
    if (this.of(key).includes(secret)) return true;
    const added = { id: randomBytes(4).toString("hex"), sealed: this.#seal.seal(name, secret), at: clock.now() };
    await vault.put(name, { ...stored, secrets: [...stored.secrets, added] });
    this.#read(name);
    log("info", `${key.rule}: ${key.trigger} has a new secret, ${added.id}`);
    return true;
  }

  /** Increases with each change. */
  changes(): number {
    return this.options.vault.changes;
  }

  list(): HookListing[] {
    return this.options.vault.names().map((name) => this.#listing(name)).sort((a, b) => a.rule < b.rule ? -1 : 1);
  }

  /** Removes a secret, or all of a rule. @returns how many; 0 if there is neither */
  remove(what: string, by: string): Promise<number> {
    return this.#alone(() => this.#remove(what, by));
  }

  async #remove(what: string, by: string): Promise<number> {
    const { vault, log } = this.options;
    let removed = 0;
    for (const name of vault.names()) {
      const stored = vault.get(name)!;
      const kept = stored.rule === what ? [] : stored.secrets.filter(({ id }) => id !== what);
      if (kept.length === stored.secrets.length && stored.rule !== what) continue;
      removed += Math.max(stored.secrets.length - kept.length, stored.rule === what ? 1 : 0);
      await vault.put(name, kept.length === 0 ? undefined : { ...stored, secrets: kept });
      this.#read(name);
      log("info", `${stored.rule}: ${stored.trigger} has ${kept.length} secrets left, removed by ${by}`);
    }
    return removed;
  }

  #read(name: string): void {
    const seal = this.#seal;
    const sealed = this.options.vault.get(name)?.secrets ?? [];
    const values = typeof seal === "string" ? [] : sealed.flatMap(({ sealed }) => seal.open(name, sealed) ?? []);
    this.#values.set(name, values);
    this.options.hide(`hook ${name}`, values);
  }

  #listing(name: string): HookListing {
    const { rule, trigger, openUntil, secrets } = this.options.vault.get(name)!;
    const seal = this.#seal;
    const listed = secrets.map(({ id, at, sealed }) => {
      return { id, at, readable: typeof seal !== "string" && seal.open(name, sealed) !== undefined };
    });
    return { rule, trigger, ...openUntil > this.options.clock.now() && { openUntil }, secrets: listed };
  }
}

function nameOf({ rule, trigger }: HookKey): string {
  return JSON.stringify([rule, trigger]);
}
