import { writeExactJson } from "../../formats/exact_json.ts";
import {
  csvColumns,
  type Format,
  FormatError,
  type FormatName,
  looksLikeFeed,
  nameOfFormat,
} from "../../formats/format.ts";
import { turn } from "../../host/large_work.ts";
import { compile, evaluate, ExpressionError } from "../../language/expressions/expression.ts";
import { formatPath, lookUp } from "../../language/expressions/references.ts";
import { addressesOfAnswers } from "../../model/event.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import { parseBeside } from "../../workers/parse_in_thread.ts";
import {
  type Asking,
  isCommandFile,
  ItemLimit,
  listOf,
  type PollContext,
  type Reading,
  settingsOf,
  stepOf,
} from "./poll_args.ts";
import { isPage, type KeepPage, readPages } from "./read_pages.ts";

interface Document {
  body: Json;
  isFeed: boolean;
  isXml?: boolean;
  status?: number;
  headers?: Record<string, string>;
}

/** The answer to a request. */
interface Page extends Document {
  /** Where it came from, after redirects. */
  address: string;
}

const NOT_MODIFIED = 304;

/**
 * Reads the source of a poll: a URL, `{ http, … }`, `{ run }`, `{ call }` or any other step.
 * @param keep what stays in memory of the pages of a source
 * @returns null if nothing changed (304)
 * @throws the errors of the step; FormatError, ExpressionError or Error if its output is not what was expected
 */
export async function readSource(context: PollContext, asking: Asking, keep?: KeepPage): Promise<Reading | null> {
  const { poll, headers, auth, charset } = context.args;
  // The checker takes `headers` and `auth` only with a URL; a step has its own.
  const source: JsonObject = {
    ...stepOf(poll),
    ...headers && { headers },
    ...auth && { auth },
    ...charset !== undefined && { charset },
  };
  if ("http" in source) return await readHttp(context, source, asking);
  if ("run" in source || isCommandFile(source)) return await readRun(context, source, asking);
  return await readStep(context, source, asking, keep);
}

async function readHttp(context: PollContext, source: JsonObject, asking: Asking): Promise<Reading | null> {
  const { pages } = context.args;
  // If there are several pages, an unchanged first page says nothing about the others.
  const first = await request(context, source, pages === undefined ? asking : {});
  if (first === null) return null;
  const { etag } = first.headers!;
  const lastModified = readLastModified(first.headers!, context.clock.now());
  const validators = { ...(etag && { etag }), ...(lastModified && { lastModified }) };
  if (pages === undefined) return { ...toReading(context, first), ...validators };
  return await readWebPages(context, source, first, pages);
}

/**
 * `Last-Modified` has whole seconds: the page can change again within the same second and keep the value. A value from the
 * current second is therefore no validator (RFC 9110, section 8.8.2.2). Its age is relative to the answer's own `Date`, so that
 * a difference between the clocks does not matter.
 */
function readLastModified(headers: Record<string, string>, now: number): string | undefined {
  const { "last-modified": lastModified, date } = headers;
  const sent = Date.parse(date ?? "");
  const age = (Number.isNaN(sent) ? now : sent) - Date.parse(lastModified ?? "");
  return age < 1_000 ? undefined : lastModified;
}

async function readWebPages(
  context: PollContext,
  source: JsonObject,
  first: Page,
  { next, max }: { next: string; max: number },
): Promise<Reading> {
  const reading = toReading(context, first);
  const items = [...listOf(reading.items, "a page")];
  const limit = new ItemLimit(settingsOf(context));
  let full = limit.add(items.length);
  const seen = new Set<string>();
  const asked = addressOf(source);
  let page = first;
  for (let count = 1;; count++) {
    const address = nextAddress(context, next, page, asked);
    if (address === undefined) return { ...reading, items };
    if (full) return { ...reading, items, complete: false };
    if (seen.has(address)) throw new Error(`The page ${address} leads back to itself`);
    if (count === max) {
      context.log.warn(`${context.trigger.id}: ${max} pages are read, and there are more: pages.max says how many`);
      return { ...reading, items, complete: false };
    }
    seen.add(address);
    page = (await request(context, nextRequest(source, asked, address), {}))!;
    // One by one: a page may have more items than a call can have arguments.
    const more = listOf(toReading(context, page).items, `the page ${address}`);
    for (const item of more) items.push(item);
    full = limit.add(more.length);
  }
}

/** As after a redirect, another host than the one that was asked for the first page gets no headers that may be secret. */
function nextRequest(source: JsonObject, asked: string, address: string): JsonObject {
  // Query and body belong to the first page; the link to the next page is complete.
  const { query: _query, json: _json, form: _form, body: _body, ...rest } = source;
  const url = new URL(address);
  const { origin, username, password } = new URL(asked);
  if (url.origin === origin) return { ...rest, http: `GET ${Object.assign(url, { username, password }).href}` };
  const { headers, auth: _auth, ...harmless } = rest;
  const kept = Object.entries(isObject(headers) ? headers : {}).filter(([name]) => /^accept(-language)?$/i.test(name));
  return { ...harmless, headers: Object.fromEntries(kept), http: `GET ${address}` };
}

/** The address of the next page; undefined on the last one. Never on a host that answered none before. */
function nextAddress(
  { meter }: PollContext,
  next: string,
  { body, status, headers, address: base }: Page,
  asked: string,
): string | undefined {
  const names = { body, status, headers, link: nextLink(headers?.link) };
  const read = new Map(compile(next).references.map(({ path }) => [formatPath(path), lookUp(names, path)]));
  // On its last page an API gives an empty cursor, or null, which would be no text in '?c=' + urlEncode(body.cursor).
  if (read.size === 1 && [null, ""].includes(read.values().next().value as string)) return undefined;
  let found: Json;
  try {
    found = evaluate(next, { ...names, $meter: meter });
  } catch (error) {
    const isLast = error instanceof ExpressionError &&
      (error.missing !== undefined || [...read.values()].includes(null));
    if (isLast) return undefined;
    throw error;
  }
  if (found === null || found === "" || found === false) return undefined;
  if (typeof found !== "string" || !URL.canParse(found, base)) {
    throw new Error(`Cannot find the next page: expected an address from "${next}", got ${writeExactJson(found)}`);
  }
  const address = new URL(found, base);
  if (![base, asked].some((known) => new URL(known).origin === address.origin)) {
    throw new Error(`Cannot read the next page: ${address.origin} is another host than that of the first page`);
  }
  return address.href;
}

/** A link of the header `Link`: its address, and its parameters (RFC 8288, section 3). */
const LINK = /<([^>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:"[^"]*"|[^\s;,"]*))?)*)/g;

/** The address with the relation `next` in a header `Link`; null if there is none. */
function nextLink(header = ""): string | null {
  for (const [, address, parameters] of header.matchAll(LINK)) {
    const [, quoted, plain] = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,]*))/i.exec(parameters) ?? [];
    if ((quoted ?? plain ?? "").toLowerCase().split(/\s+/).includes("next")) return address;
  }
  return null;
}

async function request(
  context: PollContext,
  source: JsonObject,
  { etag, lastModified }: Asking,
): Promise<Page | null> {
  const conditions = {
    ...(etag !== undefined && { "if-none-match": etag }),
    ...(lastModified !== undefined && { "if-modified-since": lastModified }),
  };
  const isBase64 = formatOf(context, source) === "base64";
  const asked = {
    ...source,
    headers: { ...isObject(source.headers) && source.headers, ...conditions },
    ok: [...Array.isArray(source.ok) ? source.ok : [], NOT_MODIFIED],
    // The text is parsed in this function: an empty body is valid only with 304, and a feed is recognized by its content.
    format: isBase64 ? "base64" : "text",
  };
  const answer = await context.execute(asked, {}, context.signal) as {
    status: number;
    headers: Record<string, string>;
    body: Json;
  };
  const { status, headers } = answer;
  const address = addressesOfAnswers.get(answer) ?? addressOf(source);
  if (status === NOT_MODIFIED) {
    if (Object.keys(conditions).length > 0) return null;
    throw new Error(`${addressOf(source)} answered 304 to a request that did not ask for changes only`);
  }
  const text = typeof answer.body === "string" ? answer.body : "";
  const contentType = headers["content-type"] ?? "";
  const format = formatOf(context, source) ?? guessFormat(contentType, text);
  expectTable(text, nameOfFormat(format), contentType);
  const warn = (message: string) => context.log.warn(`${context.trigger.id}: ${message}`);
  const body = isBase64 ? text : await parseBeside(text, format, { base: address, warn });
  checkColumns(context, text, format, body);
  // A page of 10 MB takes tens of milliseconds to decode, and as long again to process.
  await turn();
  return { body, isFeed: format === "feed", isXml: nameOfFormat(format) === "xml", status, headers, address };
}

async function readRun(context: PollContext, source: JsonObject, { cursor }: Asking): Promise<Reading> {
  const format = formatOf(context, source) ?? "json";
  const asked: JsonObject = { ...source, format: format as JsonObject | FormatName };
  const { json, stdout } = await context.execute(asked, inputOf(cursor), context.signal) as JsonObject;
  // A command that succeeds and prints no line has found nothing, as with "find".
  if (typeof stdout === "string" && !(format === "lines" && stdout === "")) {
    expectTable(stdout, nameOfFormat(format));
    checkColumns(context, stdout, format, json);
  }
  return toReading(context, { body: json, isFeed: format === "feed", isXml: nameOfFormat(format) === "xml" });
}

function checkColumns({ args }: PollContext, text: string, format: Format, rows: Json): void {
  if (nameOfFormat(format) === "csv" && args.key !== undefined && Array.isArray(rows) && rows.length === 0) {
    expectColumns(csvColumns(text, format), args.key);
  }
}

/** A function or another step: it returns pages of a source, a list, or a document. */
async function readStep(
  context: PollContext,
  source: JsonObject,
  { cursor = null }: Asking,
  keep: KeepPage | undefined,
): Promise<Reading> {
  if (context.source !== undefined) return await readPages(context, source, cursor, { keep });
  const output = await context.execute(source, { cursor }, context.signal);
  const isList = isObject(output) && Array.isArray(output.items);
  // A function that once gave a cursor returns only what is new.
  if (context.args.items === undefined && (isPage(output) || (isList && cursor !== null))) {
    return await readPages(context, source, cursor, { first: output, keep });
  }
  const reading = toReading(context, {
    body: isList && context.args.items === undefined ? output.items : output,
    isFeed: false,
  });
  const next = isList ? output.cursor ?? cursor : null;
  return next === null ? reading : { ...reading, incremental: true, cursor: next };
}

function toReading({ args, meter }: PollContext, { body, isFeed, isXml, status, headers }: Document): Reading {
  const reading = { incremental: false, complete: true, isFeed };
  if (typeof args.items === "string") {
    const items = evaluate(args.items, { body, status, headers, $meter: meter });
    // One element of its name is no list in XML.
    const list = isXml && !Array.isArray(items) ? [items].filter((item) => item !== "" && item !== null) : items;
    return { ...reading, items: listOf(list, `"items: ${args.items}"`) };
  }
  return { ...reading, items: isFeed && isObject(body) ? body.items : body };
}

function guessFormat(contentType: string, text: string): Format {
  if (/\bfeed\+json\b/i.test(contentType)) return "feed";
  if (/[/+]json\b/i.test(contentType)) return "json";
  if (/\bcsv\b/i.test(contentType)) return "csv";
  if (/xml\b/i.test(contentType) && looksLikeFeed(text.slice(0, 4_000))) return "feed";
  return "text";
}

function formatOf({ args }: PollContext, source: JsonObject): Format | undefined {
  return (args.format ?? source.format) as Format | undefined;
}

/** The URL of `http: GET https://…`. */
function addressOf(source: JsonObject): string {
  return String(source.http).replace(/^[A-Z]+ +/, "");
}

function inputOf(cursor: Json | undefined): JsonObject {
  return { cursor: cursor ?? null };
}

/** How a web page begins, after an XML declaration and comments. */
const WEB_PAGE = /^(<\?xml[^>]*>\s*)?(<!--[^]*?-->\s*)*<(!doctype\s+html|html|head|body)[\s>]/i;

/**
 * Checks that a text can be the expected `csv` or `lines`. An error page can be parsed as those too, and then every row would
 * count as removed.
 * @throws FormatError for an empty text and for a web page
 */
function expectTable(text: string, format: FormatName, contentType = ""): void {
  if (format !== "csv" && format !== "lines") return;
  const start = text.slice(0, 4_000).trimStart();
  if (start === "" && text.trim() === "") throw new FormatError(`expected ${format}, got nothing`);
  if (WEB_PAGE.test(start) || (/\bhtml\b/i.test(contentType) && start.startsWith("<"))) {
    throw new FormatError(`expected ${format}, got a web page: ${JSON.stringify(`${start.slice(0, 60)}…`)}`);
  }
}

/**
 * Checks that a CSV text without rows has the columns that the key needs. If there are rows, a missing key is found when the
 * keys are read.
 * @throws FormatError
 */
function expectColumns(columns: string[], key: string): void {
  try {
    evaluate(key, { item: Object.fromEntries(columns.map((name) => [name, ""])), index: 0 });
  } catch (error) {
    if (!(error instanceof ExpressionError) || error.missing === undefined) return;
    const found = JSON.stringify(columns.join(",").slice(0, 200));
    throw new FormatError(`expected csv with the columns of "key: ${key}", got the header row ${found}`);
  }
}
