import { hash as digest } from "node:crypto";

/** What is kept of an event's identity. */
export interface Identity {
  /** The event's key. */
  key: number;
  /** When it was received; milliseconds since the epoch. */
  at: number;
  /** Retention where its webhook says `within`, in milliseconds. */
  within?: number;
  /** How many runs it started: their ids follow from its key. */
  runs: number;
  /** True once a `reply` step has answered it. */
  replied: boolean;
}

/** Words of 32 bits of a hash, and its hex digits. */
const WORDS = 4;
const HEX_DIGITS = 32;

const REPLIED = 1;

/**
 * Identities by a keyed hash, in typed arrays with open addressing: 38 bytes a slot, at most 70 % of the slots in use. The hash is
 * 128 bits of SHA-256 over a secret of the store and the identity, so that no sender can make two identities collide.
 */
export class Identities {
  #secret = "";
  #lastText = "";
  #lastHash = "";
  #mask = 0;
  /** Slots that are taken, by expired ones too. */
  #used = 0;
  #hash!: Uint32Array;
  #key!: Float64Array;
  #at!: Float64Array;
  /** NaN where retention decides. */
  #within!: Float64Array;
  #runs!: Uint16Array;
  #flags!: Uint8Array;

  constructor(slots = 1 << 10) {
    this.#allocate(slots);
  }

  /** @param secret hex digits that only this store knows */
  keyBy(secret: string): void {
    this.#secret = secret;
  }

  /** How many are known, expired ones included until the next {@link expire}. */
  get size(): number {
    return this.#used;
  }

  get bytes(): number {
    return (this.#mask + 1) * (4 * WORDS + 8 * 3 + 2 + 1);
  }

  /** The hash of an identity, as 32 hex digits. */
  hashOf(source: string, id: string): string {
    // Each text by its length, so that no two identities are one text.
    const text = `${this.#secret}${source.length}\n${source}${id}`;
    // An identity is looked for, then put.
    if (text === this.#lastText) return this.#lastHash;
    this.#lastText = text;
    return this.#lastHash = digest("sha256", text).slice(0, HEX_DIGITS);
  }

  get(hash: string): Identity | undefined {
    const slot = this.#slotOf(words(hash));
    if (this.#key[slot] === 0) return undefined;
    return {
      key: this.#key[slot],
      at: this.#at[slot],
      ...(!Number.isNaN(this.#within[slot]) && { within: this.#within[slot] }),
      runs: this.#runs[slot],
      replied: (this.#flags[slot] & REPLIED) !== 0,
    };
  }

  put(hash: string, { key, at, within = NaN, runs, replied }: Identity): void {
    this.#put(words(hash), key, at, within, runs, replied ? REPLIED : 0);
  }

  /** Takes one back: its slot stays, as one that has expired. */
  remove(hash: string): void {
    const slot = this.#slotOf(words(hash));
    if (this.#key[slot] !== 0) [this.#at[slot], this.#within[slot]] = [-Infinity, 0];
  }

  /** Makes room for so many more, so that loading them does not grow the table again and again. */
  reserve(more: number): void {
    let slots = this.#mask + 1;
    while (this.#used + more > slots * 0.7) slots *= 2;
    if (slots > this.#mask + 1) this.#rebuild(slots, () => true);
  }

  /** Adds one as it is packed on disk. */
  load(hash: Uint32Array, key: number, at: number, within: number, runs: number, flags: number): void {
    this.#put(hash, key, at, within, runs, flags);
  }

  /**
   * Frees the slots of those whose time is over, once they are a tenth of all.
   * @param isKnown by key, time of receipt and own retention (NaN: none)
   * @returns how many are known
   */
  expire(isKnown: (key: number, at: number, within: number) => boolean): number {
    let known = 0;
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#key[slot] !== 0 && isKnown(this.#key[slot], this.#at[slot], this.#within[slot])) known++;
    }
    if (known >= this.#used * 0.9) return known;
    let slots = this.#mask + 1;
    while (slots > 1 << 10 && known < slots * 0.2) slots /= 2;
    this.#rebuild(slots, isKnown);
    return known;
  }

  #put(hash: Uint32Array, key: number, at: number, within: number, runs: number, flags: number): void {
    let slot = this.#slotOf(hash);
    if (this.#key[slot] === 0) {
      if (++this.#used > (this.#mask + 1) * 0.7) {
        this.#used--;
        this.#rebuild((this.#mask + 1) * 2, () => true);
        this.#used++;
        slot = this.#slotOf(hash);
      }
      this.#hash.set(hash, slot * WORDS);
    }
    this.#key[slot] = key;
    this.#at[slot] = at;
    this.#within[slot] = within;
    this.#runs[slot] = runs;
    this.#flags[slot] = flags;
  }

  /** The slot that has the hash, or the free one where it belongs. */
  #slotOf(hash: Uint32Array): number {
    const known = this.#hash;
    for (let slot = hash[0] & this.#mask;; slot = (slot + 1) & this.#mask) {
      if (this.#key[slot] === 0) return slot;
      const at = slot * WORDS;
      if (
        known[at] === hash[0] && known[at + 1] === hash[1] && known[at + 2] === hash[2] && known[at + 3] === hash[3]
      ) return slot;
    }
  }

  #allocate(slots: number): void {
    this.#mask = slots - 1;
    this.#used = 0;
    this.#hash = new Uint32Array(slots * WORDS);
    this.#key = new Float64Array(slots);
    this.#at = new Float64Array(slots);
    this.#within = new Float64Array(slots);
    this.#runs = new Uint16Array(slots);
    this.#flags = new Uint8Array(slots);
  }

  #rebuild(slots: number, isKept: (key: number, at: number, within: number) => boolean): void {
    const old = [this.#hash, this.#key, this.#at, this.#within, this.#runs, this.#flags] as const;
    this.#allocate(slots);
    const [hash, key, at, within, runs, flags] = old;
    for (let slot = 0; slot < key.length; slot++) {
      if (key[slot] === 0 || !isKept(key[slot], at[slot], within[slot])) continue;
      const words = hash.subarray(slot * WORDS, (slot + 1) * WORDS);
      this.#put(words, key[slot], at[slot], within[slot], runs[slot], flags[slot]);
    }
  }
}

/** The words of a hash, big endian as in its hex digits. */
function words(hash: string): Uint32Array {
  const words = new Uint32Array(WORDS);
  for (let at = 0; at < WORDS; at++) words[at] = parseInt(hash.slice(at * 8, at * 8 + 8), 16);
  return words;
}
