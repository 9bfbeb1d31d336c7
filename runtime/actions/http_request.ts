import { Buffer } from "node:buffer";
import { z } from "zod";
import { writeExactJson } from "../formats/exact_json.ts";
import { charset, fileName, format, json, number, requestAuth, template, url } from "../language/arg_types.ts";
import type { Args, ReadArgs } from "../language/kind.ts";
import { TerminalError } from "../model/errors.ts";
import { CAUSE_HEADER, type Repeatable, toHeaders } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import { type ActionContext, attemptKey, traceHeadersOf } from "./action.ts";

/** The schemas of an http step. */
export const schemas = {
  kind: "http",
  main: url().describe("METHOD https://…; without a method GET"),
  options: {
    json: json().optional().describe("The body, as JSON"),
    form: z.record(z.string(), json()).optional().describe("The body, as form fields; a list repeats its field"),
    multipart: z.record(z.string(), json()).optional().describe(
      "The body, as multipart/form-data: texts, and files that were saved or uploaded; a list repeats its field",
    ),
    body: template().optional().describe("The body, as text"),
    headers: z.record(z.string(), template()).optional().describe("Request headers"),
    query: z.record(z.string(), json()).optional().describe(
      "Appended to the URL; a list repeats its name, null leaves it out",
    ),
    auth: requestAuth(),
    format: format().optional().describe("How the body is parsed, whatever its content type says"),
    charset: charset().optional().describe("The charset of the body, whatever its content type says"),
    save: fileName().optional().describe("Saves the body to a file of this name in the run's folder"),
    ok: z.array(number({ min: 100, max: 599, integer: true })).optional()
      .describe("Statuses besides 2xx that count as success; a redirect listed here is not followed"),
  },
} as const;

type HttpArgs = Args<typeof schemas>;
type ReadHttpArgs = ReadArgs<typeof schemas>;

/** A request that can be sent. */
export interface HttpRequest {
  /** Method and URL without its query, for messages. */
  name: string;
  method: string;
  url: URL;
  headers: Headers;
  body?: string | Blob;
  /** The connection whose token it gets when it is sent. */
  connection?: string;
}

const BODIES = ["json", "form", "multipart", "body"] as const;
const WITHOUT_BODY = ["GET", "HEAD"];

/** What is wrong with the options of an http step; templates are not checked. */
export function checkRequest(args: ReadHttpArgs): string[] {
  const given = BODIES.filter((name) => args[name] !== undefined);
  const { method } = split(args.http);
  if (given.length > 1) {
    return [`"${given.join('" and "')}" exclude each other: a request has one body`];
  }
  if (given.length === 1 && !String(args.http).startsWith("${{") && WITHOUT_BODY.includes(method)) {
    return [`"${given[0]}" needs a method that carries a body, such as POST, got ${method}`];
  }
  if (args.multipart !== undefined && Object.keys(args.headers ?? {}).some((name) => /^content-type$/i.test(name))) {
    return ['headers: "multipart" sets content-type itself, with the boundary of its parts; remove it'];
  }
  const read = (["format", "charset"] as const).find((name) => args[name] !== undefined);
  if (args.save !== undefined && read !== undefined) {
    return [`${read}: "save" writes the body to a file, so it is not parsed; remove one of the two`];
  }
  return [];
}

/**
 * Makes the request that the arguments describe, with the headers that every request carries: causality, and except for GET and HEAD an
 * `Idempotency-Key` that is the same on each attempt of the step.
 * @throws TerminalError if they describe no request
 */
export function readRequest(args: HttpArgs, context: ActionContext<ReadHttpArgs>): HttpRequest {
  const { run, path, services, recorded } = context;
  const shown = recorded ?? args;
  const problems = checkRequest(args);
  if (problems.length > 0) throw new TerminalError(`Cannot send "${shown.http}": ${problems[0]}`);
  const { method, address } = split(args.http);
  const url = readUrl(address, shown);
  const headers = readHeaders(args, shown);
  setMissing(headers, "authorization", authorization(args, url, shown));
  url.username = url.password = "";
  for (const [name, value] of parameters(args.query ?? {})) url.searchParams.append(name, value);
  const body = bodyOf(args);
  if (body) setMissing(headers, "content-type", body.type);
  setMissing(headers, "user-agent", "whenthen");
  if (!WITHOUT_BODY.includes(method)) setMissing(headers, "idempotency-key", attemptKey({ run, path }));
  headers.set(CAUSE_HEADER, services.causeHeader(run));
  if (!headers.has("traceparent")) {
    for (const [name, value] of Object.entries(traceHeadersOf(context))) headers.set(name, value);
  }
  const name = recorded === undefined ? `${method} ${url.origin}${url.pathname}` : nameOf(shown.http);
  const { auth } = args;
  const named = auth && "connection" in auth ? { connection: auth.connection } : {};
  return { name, method, url, headers, ...(body && { body: body.text }), ...named };
}

function split(text: string): { method: string; address: string } {
  const [, method, address] = /^(?:([A-Za-z]+) +)?(.*)$/s.exec(text.trim())!;
  return { method: method?.toUpperCase() ?? "GET", address };
}

/** Method and URL without its query and password, as they are recorded: `POST https://host/bot${{ secrets.TOKEN }}/send`. */
function nameOf(recorded: string): string {
  const { method, address } = split(recorded);
  // Characters within an expression end no part of the URL.
  const plain = address.replace(/\$\{\{.*?\}\}/gs, (expression) => "x".repeat(expression.length));
  const [before, scheme] = /^(https?:\/\/)(?:[^/?#]*@)?/.exec(plain) ?? ["", ""];
  return `${method} ${scheme}${address.slice(before.length, plain.search(/[?#]|$/))}`;
}

function readUrl(address: string, { http: text }: ReadHttpArgs): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url && ["http:", "https:"].includes(url.protocol)) return url;
  throw new TerminalError(`Cannot send "${text}": expected a URL with http:// or https://, or a method and such a URL`);
}

function readHeaders({ headers = {} }: HttpArgs, shown: ReadHttpArgs): Headers {
  try {
    return new Headers(headers);
  } catch {
    throw new TerminalError(`Cannot send "${shown.http}" with ${refusedHeader(headers, shown.headers!)}`);
  }
}

function authorization({ auth }: HttpArgs, { username, password }: URL, { http }: ReadHttpArgs): string | undefined {
  if (auth && "bearer" in auth) return `Bearer ${auth.bearer}`;
  if (auth && "connection" in auth) return undefined;
  if (auth && !auth.basic.includes(":")) {
    throw new TerminalError(`Cannot send "${http}": expected "user:password" in auth.basic, got no colon`);
  }
  const credentials = auth?.basic ?? (username && `${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
  return credentials ? `Basic ${Buffer.from(credentials).toString("base64")}` : undefined;
}

function bodyOf({ json, form, body }: HttpArgs): { text: string; type: string } | undefined {
  if (json !== undefined) return { text: writeExactJson(json), type: "application/json" };
  if (form) {
    return { text: parameters(form).toString(), type: "application/x-www-form-urlencoded;charset=UTF-8" };
  }
  return body === undefined ? undefined : { text: body, type: "text/plain;charset=UTF-8" };
}

function parameters(fields: JsonObject): URLSearchParams {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null) parameters.append(name, typeof one === "object" ? writeExactJson(one) : String(one));
    }
  }
  return parameters;
}

function setMissing(headers: Headers, name: string, value: string | undefined): void {
  if (value !== undefined && !headers.has(name)) headers.set(name, value);
}

/** The longest time that an answer may delay an attempt. */
const LONGEST = 86_400_000;

/**
 * Reads `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). A date is taken relative to the answer's own `Date`, so that a
 * difference between the clocks does not matter.
 * @returns milliseconds from now, at most a day; undefined if there is none or it is neither
 */
export function readRetryAfter(headers: Headers, now: number): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (!value) return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return bound(Number(value) * 1_000);
  const until = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(value) ? Date.parse(value) : NaN;
  if (Number.isNaN(until)) return undefined;
  const sent = Date.parse(headers.get("date") ?? "");
  return bound(until - (Number.isNaN(sent) ? now : sent));
}

function bound(ms: number): number {
  return Math.min(Math.max(Math.round(ms), 0), LONGEST);
}

/**
 * Finds a header that no host accepts. The errors of the hosts themselves may contain its value, which may be a secret.
 * @param shown the headers as they are recorded
 */
export function refusedHeader(headers: Record<string, Repeatable>, shown: Record<string, Json>): string {
  const name = Object.keys(headers).find((name) => !isTaken(name, headers[name]))!;
  return `the header ${JSON.stringify(name)} with the value ${JSON.stringify(shown[name])}: ` +
    "expected a name of letters, digits and dashes, and a value of one line";
}

function isTaken(name: string, value: Repeatable): boolean {
  try {
    toHeaders({ [name]: value });
    return true;
  } catch {
    return false;
  }
}
