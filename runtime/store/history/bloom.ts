import { Buffer } from "node:buffer";
import { mix } from "../ledger/keys.ts";

/** A Bloom filter as stored in a catalogue. */
export interface BloomData {
  /** Base64; empty if nothing was added. */
  bits: string;
  probes: number;
}

/**
 * A set of texts with false positives but no false negatives. The rate depends on the bits per text: 10 bits give 1 in 120, 20
 * bits 1 in 15,000. https://en.wikipedia.org/wiki/Bloom_filter
 */
export class Bloom {
  readonly #bits: Uint8Array;
  readonly #probes: number;

  private constructor(bits: Uint8Array, probes: number) {
    this.#bits = bits;
    this.#probes = probes;
  }

  static of(texts: ReadonlySet<string>, bitsEach: number): Bloom {
    const bloom = new Bloom(new Uint8Array(Math.ceil(texts.size * bitsEach / 8)), Math.round(bitsEach * Math.LN2));
    for (const text of texts) bloom.#each(text, (byte, bit) => (bloom.#bits[byte] |= bit) !== 0);
    return bloom;
  }

  static from({ bits, probes }: BloomData): Bloom {
    return new Bloom(Buffer.from(bits, "base64"), probes);
  }

  toData(): BloomData {
    return { bits: Buffer.from(this.#bits.buffer).toString("base64"), probes: this.#probes };
  }

  mayHave(text: string): boolean {
    return this.#bits.length > 0 && this.#each(text, (byte, bit) => (this.#bits[byte] & bit) !== 0);
  }

  /** Visits the bits of a text until `visit` returns false. Double hashing by Kirsch and Mitzenmacher. */
  #each(text: string, visit: (byte: number, bit: number) => boolean): boolean {
    const size = this.#bits.length * 8;
    let [at, step] = hashes(text);
    for (let probe = 0; probe < this.#probes; probe++) {
      const place = at % size;
      if (!visit(place >>> 3, 1 << (place & 7))) return false;
      at = (at + step) >>> 0;
      step = (step + probe) >>> 0;
    }
    return true;
  }
}

/** Two 32-bit hashes: FNV-1a and a multiplicative one, both with the finalizer of MurmurHash3. */
function hashes(text: string): [number, number] {
  let first = 0x811c9dc5;
  let second = 0x9747b28c;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    first = Math.imul(first ^ code, 0x01000193);
    second = Math.imul(second ^ code, 0x5bd1e995);
    second ^= second >>> 15;
  }
  return [mix(first), (mix(second) | 1) >>> 0];
}
