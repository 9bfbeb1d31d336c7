import { createHmac } from "node:crypto";
import type { Cause, Event } from "../model/event.ts";
import type { Verdict } from "../model/verdict.ts";
import { isSameText } from "../secrets/passwords.ts";

/** The cause of an event or request that a run sends. */
export function causeOf(run: { id: string; event: Event }): Cause {
  return { depth: (run.event.cause?.depth ?? 0) + 1, run: run.id };
}

/** Maximum length of a chain of runs that cause each other: it stops rules that trigger each other in a loop. */
const LONGEST_CHAIN = 16;

/** The verdict that ends a chain of runs which has become too long. */
export function chainEnd({ cause }: Event): Verdict | undefined {
  const depth = cause?.depth ?? 0;
  if (depth <= LONGEST_CHAIN) return undefined;
  return {
    kind: "looped",
    reason: `${depth} runs in a row brought this event about; a chain ends after ${LONGEST_CHAIN}`,
  };
}

/** Signs causes, so that a chain of runs cannot be shortened or forged from outside. */
export class CauseSigner {
  /** @param key this data folder's own, at least 32 random bytes */
  constructor(private readonly key: Uint8Array) {}

  /** The value of the `whenthen-cause` header: `<depth>.<run>.<signature>`. */
  sign(cause: Cause): string {
    const text = `${cause.depth}.${cause.run}`;
    return `${text}.${this.#mac(text)}`;
  }

  /** The cause in a header's value; undefined if it is absent or was not signed with this key. */
  verify(header: string | undefined): Cause | undefined {
    const match = /^((\d{1,3})\.([A-Za-z0-9_-]{1,64}))\.([A-Za-z0-9_-]{43})$/.exec(header ?? "");
    if (!match) return undefined;
    const [, text, depth, run, mac] = match;
    if (!isSameText(mac, this.#mac(text))) return undefined;
    return { depth: Number(depth), run };
  }

  #mac(text: string): string {
    return createHmac("sha256", this.key).update(text).digest("base64url");
  }
}
