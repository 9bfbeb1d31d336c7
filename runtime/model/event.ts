import type { Json } from "./json.ts";

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
  /** The run that caused it; absent on events from outside. */
  cause?: Cause;
  /** Who started the rule by hand. */
  by?: string;
}

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
 * match `*`: a rule for all events would hear of its own runs.
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
