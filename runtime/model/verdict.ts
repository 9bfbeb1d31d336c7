import type { Json } from "./json.ts";

/** A rule's verdict on an event. `reason` is a sentence for people; only `started` has none. */
export type Verdict =
  | { kind: "started"; run: string }
  | { kind: "held"; run: string; reason: string; until: number }
  | { kind: "condition"; reason: string; clause?: string; values?: Record<string, Json>; run?: string }
  | { kind: "busy"; reason: string }
  | { kind: "batched"; reason: string; until: number; run?: string }
  | { kind: "disabled"; reason: string }
  | { kind: "looped"; reason: string }
  /** `problems`: what is wrong with the inputs that its trigger gives, by name. */
  | { kind: "invalid"; reason: string; problems: Record<string, string> }
  | { kind: "error"; reason: string; run?: string };

export type VerdictKind = Verdict["kind"];

// An object, so that a kind that is missing here does not compile.
const KINDS = {
  started: true,
  held: true,
  batched: true,
  condition: true,
  busy: true,
  disabled: true,
  looped: true,
  invalid: true,
  error: true,
} satisfies Record<VerdictKind, true>;

/** All kinds of verdicts, in the order in which they are listed. */
export const VERDICT_KINDS = Object.keys(KINDS) as VerdictKind[];

/** The verdict on a delivery as a whole, if no rule was concerned. */
export type DeliveryVerdict = "accepted" | "duplicate" | "unmatched";
