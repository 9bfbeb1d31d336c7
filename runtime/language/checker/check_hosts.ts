import { isObject } from "../../model/json.ts";
import type { Field, ItemField } from "../../model/rule.ts";
import { compile } from "../expressions/expression.ts";
import { expressionsIn, mapArgs, mapTexts, parseTemplate } from "../expressions/template.ts";
import { namesInHost } from "../expressions/url_host.ts";
import { hasTemplate } from "../arg_types.ts";
import type { Kind } from "../kind.ts";
import type { Checking, Path } from "./checking.ts";

/** Types whose values cannot name a host that the author of the rule has not chosen. */
const BOUND: ReadonlySet<Field["type"]> = new Set([
  "number",
  "integer",
  "boolean",
  "choice",
  "duration",
  "date",
  "port",
]);

/**
 * Checks that people who may set the config cannot send a secret to a host of their choice: if a config value decides the host of a
 * request with a secret, its field needs `hosts`. The code of a `call` may add a secret, so for a call every address among its values
 * needs it.
 */
export function checkHosts(checking: Checking, path: Path, kind: Kind, raw: Record<string, unknown>): void {
  if (checking.context.editable === undefined) return;
  mapArgs(kind, raw, (info, value, below) => {
    const at = [...path, ...below];
    if (info?.is === "url" && carriesSecret(raw)) checkUrl(checking, at, value);
    if (info?.is === "request" && isObject(value) && carriesSecret(value)) {
      checkUrl(checking, [...at, "http"], value.http);
    }
    return value;
  });
  if (kind.kind === "call") checkGiven(checking, [...path, "with"], raw.with);
}

/** Whether a request has credentials, or a secret anywhere in it. */
function carriesSecret(request: Record<string, unknown>): boolean {
  return isObject(request.auth) ||
    textsIn(request).some((text) => namesIn(text).some(({ path }) => path[0] === "secrets"));
}

function textsIn(value: unknown): string[] {
  const texts: string[] = [];
  mapTexts(value, (text) => texts.push(text));
  return texts;
}

function namesIn(text: string) {
  if (!hasTemplate(text)) return [];
  return expressionsIn(parseTemplate(text).parts).flatMap(({ expression, offset }) =>
    compile(expression).references.map((found) => ({ ...found, offset: offset + found.offset }))
  );
}

function checkUrl(checking: Checking, path: Path, url: unknown): void {
  if (!hasTemplate(url)) return;
  for (const { key, ...place } of namesInHost(parseTemplate(url).parts, "config")) {
    reportOpen(checking, path, place, key);
  }
}

/** It is unknown which values of a call name a host, so all values of fields that hold addresses count. */
function checkGiven(checking: Checking, path: Path, given: unknown): void {
  if (isObject(given) || Array.isArray(given)) {
    for (const [key, value] of Object.entries(given)) checkGiven(checking, [...path, key], value);
  }
  const { editable = {} } = checking.context;
  for (const { path: [name, key], ...place } of typeof given === "string" ? namesIn(given) : []) {
    const field = name === "config" && key !== undefined ? editable[key] : undefined;
    if (field !== undefined && isAddress(field)) reportOpen(checking, path, place, key, "may decide");
  }
}

/** Checks the config value that an `each` lists, if its items decide the host of such a request. */
export function checkHostsOfItems(
  checking: Checking,
  path: Path,
  { each, as = "item", then }: Record<string, unknown>,
): void {
  const { editable } = checking.context;
  if (editable === undefined || typeof each !== "string") return;
  for (const { path: [name, key], ...place } of compile(each).references) {
    if (name !== "config" || key === undefined || !Object.hasOwn(editable, key)) continue;
    if (!decidesHost(then, String(as), isAddress(editable[key]))) continue;
    reportOpen(checking, [...path, "each"], place, key, "may decide");
  }
}

/**
 * Whether the item of an `each` decides the host of a request with a secret in its steps.
 * @param isAddress whether the item is one, so that a call to which it is given may send a secret there
 */
function decidesHost(steps: unknown, item: string, isAddress: boolean): boolean {
  if (Array.isArray(steps)) return steps.some((step) => decidesHost(step, item, isAddress));
  if (!isObject(steps)) return false;
  const { http, call, with: given, each, as = "item" } = steps;
  if (hasTemplate(http) && carriesSecret(steps) && namesInHost(parseTemplate(http).parts, item).length > 0) return true;
  const isItem = ({ path }: { path: string[] }) => path[0] === item;
  if (isAddress && call !== undefined && textsIn(given).some((text) => namesIn(text).some(isItem))) return true;
  // An inner `each` with the same name gives it another value.
  if (each !== undefined && as === item) return false;
  return Object.values(steps).some((value) => decidesHost(value, item, isAddress));
}

function isAddress({ type, default: standard, of }: Field): boolean {
  return type === "url" || of?.type === "url" || [standard].flat().some((value) => /^https?:\/\//.test(String(value)));
}

/** Whether people can choose any host. */
function isOpen(field: Field | ItemField | undefined): boolean {
  if (field === undefined || field.hosts !== undefined || field.choices !== undefined) return false;
  if ("of" in field && field.of !== undefined) return isOpen(field.of);
  return !BOUND.has(field.type);
}

/** @param key undefined if it may be any */
function reportOpen(
  checking: Checking,
  path: Path,
  place: { offset: number; length: number },
  key: string | undefined,
  how = "decides",
): void {
  const { editable = {} } = checking.context;
  const open = (key === undefined ? Object.keys(editable) : [key]).find((name) => isOpen(editable[name]));
  if (open === undefined) return;
  const { type } = editable[open];
  const fitting = type === "url" || type === "list" ? type : "text";
  const message = `config.${open} ${how} which host gets a secret, and people may set it`;
  const hint = `name the hosts that it may be, as in ${open}: { type: ${fitting}, hosts: [api.example.org] }, ` +
    "or make it a choice";
  checking.errorWithin(path, place, message, hint);
}
