import { isObject } from "../../model/json.ts";
import type { Field } from "../../model/rule.ts";
import { compile } from "../expressions/expression.ts";
import { expressionsIn, mapArgs, mapTexts, parseTemplate } from "../expressions/template.ts";
import { configInHost } from "../expressions/url_host.ts";
import { hasTemplate } from "../fields/field.ts";
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
 * Checks that people who may set the config cannot send a secret to a host of theirs: a config value that decides the host of a
 * request with a secret needs `hosts` on its field. For a `call` that is a URL among its values.
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
  if (kind.kind === "call" && carriesSecret(raw)) checkGiven(checking, [...path, "with"], raw.with);
}

/** Whether a request has credentials, or a secret anywhere in it. */
function carriesSecret(request: Record<string, unknown>): boolean {
  let found = isObject(request.auth);
  mapTexts(request, (text) => {
    found ||= namesIn(text).some(({ path }) => path[0] === "secrets");
  });
  return found;
}

function namesIn(text: string) {
  if (!hasTemplate(text)) return [];
  return expressionsIn(parseTemplate(text).parts).flatMap(({ expression, offset }) =>
    compile(expression).references.map((found) => ({ ...found, offset: offset + found.offset }))
  );
}

function checkUrl(checking: Checking, path: Path, url: unknown): void {
  if (!hasTemplate(url)) return;
  const { editable = {} } = checking.context;
  for (const { key, ...place } of configInHost(parseTemplate(url as string).parts)) {
    const open = (key === undefined ? Object.keys(editable) : [key]).find((name) => isOpen(editable[name]));
    if (open !== undefined) report(checking, path, place, open, editable[open]);
  }
}

/** Which values of a call name a host is not known, but which fields are addresses. */
function checkGiven(checking: Checking, path: Path, given: unknown): void {
  if (isObject(given) || Array.isArray(given)) {
    for (const [key, value] of Object.entries(given)) checkGiven(checking, [...path, key], value);
  }
  const { editable = {} } = checking.context;
  for (const { path: [name, key], ...place } of typeof given === "string" ? namesIn(given) : []) {
    const field = name === "config" && key !== undefined ? editable[key] : undefined;
    if (field !== undefined && isAddress(field) && isOpen(field)) report(checking, path, place, key, field);
  }
}

function isAddress({ type, default: standard }: Field): boolean {
  return type === "url" || /^https?:\/\//.test(String(standard));
}

/** Whether people can choose any host. */
function isOpen(field: Field | undefined): boolean {
  return field !== undefined && field.hosts === undefined && field.choices === undefined && !BOUND.has(field.type);
}

function report(
  checking: Checking,
  path: Path,
  place: { offset: number; length: number },
  key: string,
  { type }: Field,
): void {
  const message = `config.${key} decides which host gets a secret, and people may set it`;
  const hint =
    `name the hosts that it may be, as in ${key}: { type: ${type}, hosts: [api.example.org] }, or make it a choice`;
  checking.errorWithin(path, place, message, hint);
}
