/** How many that are not used any more are kept at least. */
const FEW = 200;

/**
 * What was made of texts, as long as it is used: what came with versions of rules that are gone, or with data, goes. It keeps
 * what was used since it last made so many new ones, and in the time before that.
 */
export class LruCache<Made> {
  #young = new Map<string, Made>();
  #old = new Map<string, Made>();
  #made = 0;
  #most = FEW;

  constructor(private readonly make: (text: string) => Made) {}

  /** Room for so many that are all used, in whatever order. */
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

  /** What was not used since the last time goes. */
  #grow(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#made = 0;
  }
}
