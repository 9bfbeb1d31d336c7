/** Minimum number of unused entries that are kept. */
const FEW = 200;

/**
 * A cache of values made from texts. Evicts texts that are no longer used, which came from old versions of rules or from data. It
 * has two generations: entries that were used in the current or in the previous one stay.
 */
export class LruCache<Made> {
  #young = new Map<string, Made>();
  #old = new Map<string, Made>();
  #made = 0;
  #most = FEW;

  constructor(private readonly make: (text: string) => Made) {}

  /** Sets the number of entries that may all be in use. */
  expect(count: number): void {
    this.#most = Math.max(FEW, count);
  }

  get(text: string): Made {
    const known = this.#young.get(text);
    if (known !== undefined) return known;
    let made = this.#old.get(text);
    if (made === undefined) {
      made = this.make(text);
      this.#made++;
    }
    this.#young.set(text, made);
    if (this.#made > this.#most) this.#grow();
    return made;
  }

  /** Starts a new generation: evicts entries that were not used in the one that ends. */
  #grow(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#made = 0;
  }
}
