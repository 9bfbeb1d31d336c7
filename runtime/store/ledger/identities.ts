import { hash as digest } from "node:crypto";

/** The data stored for an event's identity. */
export interface Identity {
  /** The event's key. */
  key: number;
  /** When it was received; milliseconds since the epoch. */
  at: number;
  /** Retention if its webhook sets `within`, in milliseconds. */
  within?: number;
  /** How many runs it started: their ids follow from its key. */
  runs: number;
  /** True after a `reply` step has answered it. */
  replied: boolean;
}

/** The number of 32-bit words of a hash, and of its hex digits. */
const WORDS = 4;
const HEX_DIGITS = 32;

const REPLIED = 1;

/** Minimum number of slots, their maximum load, and the factor by which their number grows. */
const LEAST = 1024;
const FULL = 0.75;
/** The load after a rebuild: leaves room for more identities before the next rebuild. */
const LOADED = 0.6;
const GROWTH = 1.5;

/**
 * Identities by a keyed hash, in typed arrays with open addressing: 35 bytes per slot, 43 if any identity has its own retention;
 * 50 to 75 % of the slots are in use. The hash is 128 bits of SHA-256 over a secret of the store and the identity, so that no
 * sender can make two identities collide.
 */
export class Identities {
  #secret = "";
  #last = { source: "", id: "" };
  #lastHash = "";
  #lastWords = new Uint32Array(WORDS);
  #slots = 0;
  /** Slots in use, including those of expired identities. */
  #used = 0;
  #hash!: Uint32Array;
  #key!: Float64Array;
  #at!: Float64Array;
  /** NaN if the general retention applies; absent while that applies to all. */
  #within: Float64Array | undefined;
  #runs!: Uint16Array;
  #flags!: Uint8Array;

  constructor(slots = LEAST) {
    this.#allocate(slots);
  }

  /** @param secret hex digits that only this store knows */
  keyBy(secret: string): void {
    this.#secret = secret;
    this.#lastHash = "";
  }

  /** The number of identities, including expired ones until the next {@link expire}. */
  get size(): number {
    return this.#used;
  }

  get bytes(): number {
    return this.#slots * (4 * WORDS + 8 * (this.#within ? 3 : 2) + 2 + 1);
  }

  /** The hash of an identity, as 32 hex digits. */
  hashOf(source: string, id: string): string {
    // An identity is usually looked up, then put.
    if (this.#lastHash !== "" && id === this.#last.id && source === this.#last.source) return this.#lastHash;
    this.#last = { source, id };
    // With a length before the source, so that no two identities give the same text.
    this.#lastHash = digest("sha256", `${this.#secret}${source.length}\n${source}${id}`).slice(0, HEX_DIGITS);
    this.#lastWords = words(this.#lastHash);
    return this.#lastHash;
  }

  #wordsOf(hash: string): Uint32Array {
    return hash === this.#lastHash ? this.#lastWords : words(hash);
  }

  get(hash: string): Identity | undefined {
    const slot = this.#slotOf(this.#wordsOf(hash));
    if (this.#key[slot] === 0) return undefined;
    const within = this.#withinAt(slot);
    return {
      key: this.#key[slot],
      at: this.#at[slot],
      ...(!Number.isNaN(within) && { within }),
      runs: this.#runs[slot],
      replied: (this.#flags[slot] & REPLIED) !== 0,
    };
  }

  put(hash: string, { key, at, within = NaN, runs, replied }: Identity): void {
    this.#put(this.#wordsOf(hash), key, at, within, runs, replied ? REPLIED : 0);
  }

  /** Removes an identity: its slot stays in use, as if expired. */
  remove(hash: string): void {
    const slot = this.#slotOf(this.#wordsOf(hash));
    if (this.#key[slot] === 0) return;
    this.#at[slot] = -Infinity;
    this.#setWithin(slot, 0);
  }

  /** Makes room for this many more, so that loading them does not grow the table repeatedly. */
  reserve(more: number): void {
    const count = this.#used + more;
    if (count <= this.#slots * FULL) return;
    // At least the normal growth, as more identities usually follow.
    this.#rebuild(Math.ceil(Math.max(count / LOADED, this.#slots * GROWTH)), () => true);
  }

  /** Adds an identity in its packed form from disk. */
  load(hash: Uint32Array, key: number, at: number, within: number, runs: number, flags: number): void {
    this.#put(hash, key, at, within, runs, flags);
  }

  /**
   * Frees the slots of expired identities if they are at least a tenth of all.
   * @param isKnown by key, time of receipt and own retention (NaN: none)
   * @returns how many identities are known
   */
  expire(isKnown: (key: number, at: number, within: number) => boolean): number {
    let known = 0;
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.#key[slot] !== 0 && isKnown(this.#key[slot], this.#at[slot], this.#withinAt(slot))) known++;
    }
    if (known >= this.#used * 0.9) return known;
    const isLoose = known < this.#slots * FULL / (2 * GROWTH);
    this.#rebuild(isLoose ? Math.max(LEAST, Math.ceil(known / LOADED)) : this.#slots, isKnown);
    return known;
  }

  #put(hash: Uint32Array, key: number, at: number, within: number, runs: number, flags: number): void {
    let slot = this.#slotOf(hash);
    if (this.#key[slot] === 0) {
      if (++this.#used > this.#slots * FULL) {
        this.#used--;
        this.#rebuild(Math.ceil(this.#slots * GROWTH), () => true);
        this.#used++;
        slot = this.#slotOf(hash);
      }
      for (let word = 0; word < WORDS; word++) this.#hash[slot * WORDS + word] = hash[word];
    }
    this.#key[slot] = key;
    this.#at[slot] = at;
    this.#setWithin(slot, within);
    this.#runs[slot] = runs;
    this.#flags[slot] = flags;
  }

  #withinAt(slot: number): number {
    return this.#within ? this.#within[slot] : NaN;
  }

  #setWithin(slot: number, within: number): void {
    if (!this.#within && Number.isNaN(within)) return;
    this.#within ??= new Float64Array(this.#slots).fill(NaN);
    this.#within[slot] = within;
  }

  /** The slot of the hash, or the free slot for it. */
  #slotOf(hash: Uint32Array): number {
    const known = this.#hash;
    for (let slot = (hash[0] >>> 1) % this.#slots;; slot = slot + 1 === this.#slots ? 0 : slot + 1) {
      if (this.#key[slot] === 0) return slot;
      const at = slot * WORDS;
      if (
        known[at] === hash[0] && known[at + 1] === hash[1] && known[at + 2] === hash[2] && known[at + 3] === hash[3]
      ) return slot;
    }
  }

  #allocate(slots: number): void {
    this.#slots = slots;
    this.#used = 0;
    this.#hash = new Uint32Array(slots * WORDS);
    this.#key = new Float64Array(slots);
    this.#at = new Float64Array(slots);
    this.#within = undefined;
    this.#runs = new Uint16Array(slots);
    this.#flags = new Uint8Array(slots);
  }

  #rebuild(slots: number, isKept: (key: number, at: number, within: number) => boolean): void {
    const old = [this.#hash, this.#key, this.#at, this.#within, this.#runs, this.#flags] as const;
    this.#allocate(slots);
    const [hash, key, at, within, runs, flags] = old;
    const words = new Uint32Array(WORDS);
    for (let slot = 0; slot < key.length; slot++) {
      const own = within ? within[slot] : NaN;
      if (key[slot] === 0 || !isKept(key[slot], at[slot], own)) continue;
      for (let word = 0; word < WORDS; word++) words[word] = hash[slot * WORDS + word];
      this.#put(words, key[slot], at[slot], own, runs[slot], flags[slot]);
    }
  }
}

/** The words of a hash, big endian as in its hex digits. */
function words(hash: string): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(WORDS);
  for (let at = 0; at < HEX_DIGITS; at++) {
    const code = hash.charCodeAt(at);
    // "0" to "9", "a" to "f".
    words[at >>> 3] = (words[at >>> 3] << 4) | (code <= 57 ? code - 48 : code - 87);
  }
  return words;
}
