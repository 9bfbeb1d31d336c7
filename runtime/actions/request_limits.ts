import { type Clock, sleepFor } from "../host/clock.ts";
import type { Rate } from "../model/duration.ts";

/**
 * The rate limit of requests to a destination host, over all rules: `limits` in `whenthen.yaml`. A burst of `count` passes
 * at once, the rest at the rate and in order (GCRA, ITU-T I.371).
 */
export class RequestLimits {
  #rates: Record<string, Rate> = {};
  readonly #next = new Map<string, number>();

  constructor(private readonly clock: Clock) {}

  /** @param rates by host name, with the port if the URL has one */
  setRates(rates: Record<string, Rate>): void {
    this.#rates = rates;
  }

  /** Resolves when the host has room for one more request. Rejects with the signal's reason if it is aborted. */
  async admit(url: URL, signal: AbortSignal): Promise<void> {
    const rate = this.#rates[url.host] ?? this.#rates[url.hostname];
    if (rate === undefined) return;
    const interval = rate.per / rate.count;
    const now = this.clock.ticks();
    const next = Math.max(this.#next.get(url.host) ?? 0, now);
    this.#next.set(url.host, next + interval);
    const start = next - (rate.per - interval);
    if (start > now) await sleepFor(this.clock, start - now, signal);
    signal.throwIfAborted();
  }
}
