import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import type { Cause, Event, Verdict } from "../model/event.ts";
import { isSameText } from "../secrets/passwords.ts";

/** Maximum length of a chain of runs that cause each other: it stops rules that trigger each other in a loop. */
const LONGEST_CHAIN = 16;

/** The verdict that ends a chain of runs which has become too long, or comes back to a rule that an own event started. */
export function chainEnd({ cause }: Event, rule: string): Verdict | undefined {
  const depth = cause?.depth ?? 0;
  if (cause?.own?.includes(rule)) {
    return {
      kind: "looped",
      reason: "A run of this rule brought this event about, and one of the program's own events had started it",
    };
  }
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

  /** The value of the `whenthen-cause` header: `<depth>.<run>.<signature>`, with the rules of `own` as JSON before the signature. */
  sign({ depth, run, own }: Cause): string {
    const rules = own ? `.${Buffer.from(JSON.stringify(own)).toString("base64url")}` : "";
    const text = `${depth}.${run}${rules}`;
    return `${text}.${this.#mac(text)}`;
  }

  /** The cause in a header's value; undefined if it is absent or was not signed with this key. */
  verify(header: string | undefined): Cause | undefined {
    const match = /^((\d{1,3})\.([A-Za-z0-9_-]{1,64})(?:\.([A-Za-z0-9_-]+))?)\.([A-Za-z0-9_-]{43})$/.exec(header ?? "");
    if (!match) return undefined;
    const [, text, depth, run, rules, mac] = match;
    if (!isSameText(mac, this.#mac(text))) return undefined;
    const own = rules === undefined ? undefined : JSON.parse(Buffer.from(rules, "base64url").toString()) as string[];
    return { depth: Number(depth), run, ...own && { own } };
  }

  #mac(text: string): string {
    return createHmac("sha256", this.key).update(text).digest("base64url");
  }
}
