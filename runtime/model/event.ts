import type { Json, JsonObject } from "./json.ts";

/**
 * One fact, shaped as a CloudEvent 1.0. `source` + `id` is its identity: two deliveries with the same
 * identity are one event.
 */
export interface Event {
  id: string;
  source: string;
  type: string;
  subject?: string;
  /** When it happened, RFC 3339 in UTC. */
  time: string;
  data: Json;
  /** Only on events received by HTTP. */
  http?: HttpRequestFacts;
  /** The files of a form that was sent to a webhook, by field; several of one field are a list. */
  files?: Record<string, SavedFile | SavedFile[]>;
  /** Of a CloudEvent: all attributes that its sender gave, as text, also extensions. */
  ce?: Record<string, string>;
  /** The run that caused it; absent on events from outside. */
  cause?: Cause;
  /** The W3C `traceparent` of what sent it: of a step that emitted it, or of a request to `/events`. On webhooks it is in `http`. */
  trace?: string;
  /** Who started the rule by hand. */
  by?: string;
}

/** A file that a run has saved or a sender has uploaded. It is in a folder of the program, and goes with the run or the event. */
export type SavedFile = {
  /** Absolute. */
  path: string;
  name: string;
  /** Its media type, as its source reported it: `image/png`. */
  type: string;
  bytes: number;
  /** In hex. */
  sha256: string;
};

/** The parts of a request that rules can see. The credentials of the sender are already removed. */
export interface HttpRequestFacts {
  method: string;
  path: string;
  params: Record<string, string>;
  /** A repeated name has a list of its values. */
  query: Record<string, Repeatable>;
  /** Names in lower case; several values joined with ", ". */
  headers: Record<string, string>;
  /** Names of headers that were sent but removed: `Authorization`, `Cookie` and those that `auth` verified. Absent if none. */
  leftOut?: string[];
}

/** The chain from run to event to run. If it gets too long, the verdict is `looped`. */
export interface Cause {
  /** How many runs are between this event and the outside world. */
  depth: number;
  /** The run that caused it. */
  run: string;
  /** The rules in the chain that the program's own events started. */
  own?: string[];
}

/** The cause of an event or request that a run sends, and of the event of its end. */
export function causeOf(
  { id, rule, event }: { id: string; rule: string; event: Pick<Event, "type" | "cause"> },
): Cause {
  const { depth = 0, own = [] } = event.cause ?? {};
  const all = isOwnType(event.type) ? [...own, rule] : own;
  return { depth: depth + 1, run: id, ...all.length > 0 && { own: all } };
}

/** The request header that carries a signed {@link Cause} over HTTP. */
export const CAUSE_HEADER = "whenthen-cause";

/** The beginning of the types of the program's own events, and of the patterns that match them. */
export const OWN_PREFIX = "whenthen.";

/** Whether only the program itself may send events of a type. */
export function isOwnType(type: string): boolean {
  return type.startsWith(OWN_PREFIX);
}

/**
 * The type itself and the patterns that match it: `order.paid` also matches `order.*` and `*`. The program's own events do not
 * match `*`: a rule for all events would be triggered by its own runs.
 */
export function typePatterns(type: string): string[] {
  const patterns = isOwnType(type) ? [type] : [type, "*"];
  for (let dot = type.indexOf("."); dot !== -1; dot = type.indexOf(".", dot + 1)) {
    patterns.push(`${type.slice(0, dot)}.*`);
  }
  return patterns;
}

/** The value of a name, or a list of its values in order if it is repeated. */
export type Repeatable = string | string[];

/**
 * The headers as data, names in lower case. Several `Set-Cookie` are a list; several of any other name are one, joined with ", ",
 * which means the same (RFC 9110, section 5.3).
 */
export function headerFields(headers: Headers): Record<string, Repeatable> {
  const fields: Record<string, Repeatable> = Object.fromEntries(headers);
  const cookies = headers.getSetCookie();
  return cookies.length > 1 ? { ...fields, "set-cookie": cookies } : fields;
}

/**
 * The headers of {@link headerFields}; a list repeats its name.
 * @throws TypeError if HTTP does not allow a name or a value
 */
export function toHeaders(fields: Record<string, Repeatable>): Headers {
  const headers = new Headers();
  for (const [name, values] of Object.entries(fields)) {
    for (const value of [values].flat()) headers.append(name, value);
  }
  return headers;
}

/** A query or a form; a list repeats its name. */
export function toParameters(fields: Record<string, Repeatable>): URLSearchParams {
  const entries = Object.entries(fields);
  return new URLSearchParams(entries.flatMap(([name, values]) => [values].flat().map((value) => [name, value])));
}

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

/** The types of the program's own events, each with the fact that it tells. Nobody else can send them. */
export const OWN_EVENTS = {
  "whenthen.run.failed": "A run failed",
  "whenthen.run.succeeded": "A run succeeded",
  "whenthen.poll.failed": "A look of a poll or watch failed, after one that worked",
  "whenthen.poll.recovered": "A poll or watch that had failed works again",
  "whenthen.poll.capped": "A poll found more items than its `max`",
  "whenthen.rule.broken": "A file stopped loading",
  "whenthen.config.refused": "A config value was refused",
  "whenthen.hook.refused": "A webhook refused a request, after ones that it accepted",
  "whenthen.connection.lost": "A connection needs to be made again",
  "whenthen.store.full": "The store accepts no more events",
  "whenthen.device.added": "A device is new in the inventory of its fleet",
  "whenthen.device.initialized": "A device has a session",
  "whenthen.device.reachable": "A ping of a device worked, after one that failed or after its init",
  "whenthen.device.unreachable": "A ping of a device failed; each one that fails",
  "whenthen.device.dead": "Too many pings of a device in a row failed; it is left alone for a while",
  "whenthen.device.removed": "A device is gone from the inventory of its fleet",
  "whenthen.device.init.error": "A device could not be initialized",
  "whenthen.device.stop.error": "The session of a device did not end as it should",
} as const;

export type OwnEventType = keyof typeof OWN_EVENTS;

/** The source of the program's own events. */
export const OWN_SOURCE = "/whenthen";

/** An event of the program itself. */
export interface OwnEvent {
  type: OwnEventType;
  /** What it is about: a rule's id, a file, a path. */
  subject: string;
  data: JsonObject;
  cause?: Cause;
}

/** Whether a pattern of event types can match an own event: patterns that begin with `whenthen.` can, `*` never. */
export function matchesOwn(pattern: string): boolean {
  return Object.keys(OWN_EVENTS).some((type) =>
    pattern.endsWith("*") ? isOwnType(pattern) && type.startsWith(pattern.slice(0, -1)) : pattern === type
  );
}

/** The fields of a form or a query. A repeated name has a list. */
export class FieldList {
  /** Maximum fields. Forms for people have dozens, and each field costs time to store and show. */
  static readonly MOST = 10_000;
  readonly #fields = new Map<string, string[]>();

  add(name: string, value: string): void {
    const values = this.#fields.get(name);
    if (values === undefined) this.#fields.set(name, [value]);
    else values.push(value);
  }

  toObject(): Record<string, Repeatable> {
    const fields = [...this.#fields];
    return Object.fromEntries(fields.map(([name, values]) => [name, values.length === 1 ? values[0] : values]));
  }
}

/**
 * Parses the fields of a query or of a urlencoded form. Takes time linear in the text.
 * @param what the source, for the message: `body`
 * @throws Error if there are more than 10,000 fields
 */
export function readFields(text: string, what: string): Record<string, Repeatable> {
  const count = countFields(text);
  if (count > FieldList.MOST) throw new Error(`The ${what} may have ${FieldList.MOST} fields, not ${count}`);
  const fields = new FieldList();
  for (const [name, value] of new URLSearchParams(text)) fields.add(name, value);
  return fields.toObject();
}

/** Counts without parsing, which is slow with many fields. */
function countFields(text: string): number {
  let count = 1;
  for (let at = text.indexOf("&"); at !== -1; at = text.indexOf("&", at + 1)) count++;
  return count;
}

/** Where the answers of `http` came from after redirects. It is beside them, as a server may repeat secrets in it and answers are recorded. */
export const addressesOfAnswers: WeakMap<object, string> = new WeakMap<object, string>();
