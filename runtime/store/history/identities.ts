/** The data of an event's identity. */
export interface Identity {
  /** The event's key. */
  event: number;
  /** When it was accepted, milliseconds since the epoch. */
  at: number;
  /** Its retention in milliseconds; null for the store's general retention. */
  within: number | null;
  /** How many runs it started. */
  runs: number;
  flags: number;
}

export const HASH_BYTES = 16;

/** Bytes of a packed identity: hash, event (f64), at (f64), within (f64, -1 for null), runs (u16), flags (u8); little endian. */
export const IDENTITY_BYTES = HASH_BYTES + 3 * 8 + 2 + 1;

const MOST_RUNS = 0xffff;
const BY_RETENTION = -1;

/** Packs identities one after the other in a growing buffer. */
export class IdentityPacker {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  /** @param expected how many there may be */
  constructor(expected = 1024) {
    this.#bytes = new Uint8Array(Math.max(1, expected) * IDENTITY_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** @param hash its 16 bytes, or their 32 hexadecimal digits */
  add(hash: Uint8Array | string, { event, at, within, runs, flags }: Identity): void {
    if (this.#length === this.#bytes.length) this.#grow();
    const start = this.#length;
    if (typeof hash === "string") this.#setHex(hash, start);
    else this.#bytes.set(hash, start);
    this.#view.setFloat64(start + 16, event, true);
    this.#view.setFloat64(start + 24, at, true);
    this.#view.setFloat64(start + 32, within ?? BY_RETENTION, true);
    this.#view.setUint16(start + 40, Math.min(runs, MOST_RUNS), true);
    this.#view.setUint8(start + 42, flags);
    this.#length += IDENTITY_BYTES;
  }

  /** All packed identities, in a new buffer. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #setHex(hash: string, start: number): void {
    for (let at = 0; at < HASH_BYTES; at++) this.#bytes[start + at] = parseInt(hash.slice(2 * at, 2 * at + 2), 16);
  }

  #grow(): void {
    const grown = new Uint8Array(this.#bytes.length * 2);
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Reads packed identities in place, by their index. */
export class PackedIdentities {
  readonly count: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.count = bytes.length / IDENTITY_BYTES;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** An identity in packed form. */
  bytes(index: number): Uint8Array {
    return this.#bytes.subarray(index * IDENTITY_BYTES, (index + 1) * IDENTITY_BYTES);
  }

  /** A 32-bit word of the hash, big endian. @param word 0 to 3 */
  hashWord(index: number, word: number): number {
    return this.#view.getUint32(index * IDENTITY_BYTES + 4 * word);
  }

  get(index: number): Identity {
    const start = index * IDENTITY_BYTES;
    const within = this.#view.getFloat64(start + 32, true);
    return {
      event: this.#view.getFloat64(start + 16, true),
      at: this.#view.getFloat64(start + 24, true),
      within: within === BY_RETENTION ? null : within,
      runs: this.#view.getUint16(start + 40, true),
      flags: this.#view.getUint8(start + 42),
    };
  }

  /** Whether an identity has expired. @param retention milliseconds, for those without their own retention */
  isExpired(index: number, now: number, retention: number): boolean {
    const start = index * IDENTITY_BYTES;
    const within = this.#view.getFloat64(start + 32, true);
    return this.#view.getFloat64(start + 24, true) + (within === BY_RETENTION ? retention : within) <= now;
  }
}
