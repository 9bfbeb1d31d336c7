const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/**
 * Event keys and the ids derived from them. Keys are integers below 2^53: microseconds, as there may be many events in a
 * millisecond. They always grow, even after a clock rollback.
 */
export class Ids {
  #last: number;
  readonly #secret: number;

  /**
   * @param last the newest key that was ever issued
   * @param secret hex digits that only this store knows
   */
  constructor(last: number, secret: string) {
    this.#last = last;
    this.#secret = parseInt(secret.slice(0, 8) || "0", 16);
  }

  /** A new key. @param now milliseconds since the epoch */
  key(now: number): number {
    return this.#last = Math.max(this.#last + 1, keyAt(now));
  }

  /** The newest key. */
  get last(): number {
    return this.#last;
  }

  /**
   * The id of the n-th run that an event started: 11 characters of the event's key, 3 of the ordinal, 6 that distinguish
   * stores apart (base 32 without i, l, o, u). Ids sort by creation.
   */
  run(key: number, ordinal: number): string {
    const mixed = mix(
      mix(this.#secret ^ (key % 2 ** 32)) ^ Math.floor(key / 2 ** 32) ^ Math.imul(ordinal + 1, 0x9e3779b1),
    );
    return base32(key, 11) + base32(ordinal, 3) + base32(mixed >>> 2, 6);
  }

  /** The ids of all runs that an event started. */
  runs(key: number, count: number): string[] {
    return Array.from({ length: count }, (_, ordinal) => this.run(key, ordinal));
  }
}

/** The smallest key of a time. */
export function keyAt(time: number): number {
  return Math.floor(time) * 1_000;
}

/** The ids of runs that were created at a time or later are greater than this, those of older ones are not. */
export function runIdAt(time: number): string {
  return base32(keyAt(time), 11);
}

/** When a run was created, in milliseconds since the epoch; also for the beginning of an id. */
export function timeOfRun(id: string): number {
  return [...id.slice(0, 11)].reduce((value, digit) => value * 32 + ALPHABET.indexOf(digit), 0) / 1_000;
}

/** The finalizer of MurmurHash3, by Austin Appleby: every bit of the input changes every bit of the output. */
function mix(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function base32(value: number, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest = Math.floor(rest / 32)) text = ALPHABET[rest % 32] + text;
  return text;
}
