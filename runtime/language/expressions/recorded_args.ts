import { writeExactJson } from "../../formats/exact_json.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { compile, evaluate, type Scope } from "./expression.ts";
import { type FieldInfo, hasTemplate } from "../arg_types.ts";
import type { Kind } from "../kind.ts";
import { lookUp, type Reference } from "./references.ts";
import { patternOf, SHORTEST_MASKED } from "../../secrets/secrets.ts";
import { spellings } from "../../secrets/spellings.ts";
import { asText, mapArgs, mapTexts, parseText, resolveField } from "./template.ts";
import { templatesIn } from "./check_expression.ts";

/** Names whose values contain secrets, with the text that is recorded instead: `{ inputs: { token: "${{ secrets.TOKEN }}" } }`. */
export type Unresolved = JsonObject;

/** The names that the templates of some arguments read. Weak, as a rule owns its arguments. */
const namesOf = new WeakMap<JsonObject, Set<string>>();

/** Whether arguments read a secret, or a name whose value contains one. */
export function readSecrets(args: JsonObject, unresolved: Unresolved): boolean {
  let names = namesOf.get(args);
  if (names === undefined) {
    names = new Set(templatesIn(args).flatMap((text) => compile(text).references.map(({ path }) => path[0])));
    namesOf.set(args, names);
  }
  return names.has("secrets") || Object.keys(unresolved).some((name) => names.has(name));
}

/**
 * Resolves arguments for the record: an expression that reads a secret stays unresolved, `${{ secrets.X }}` or
 * `${{ hash(secrets.X) }}`, so that its value never reaches the disk. All others are resolved.
 * @throws ExpressionError
 */
export function recordArgs(kind: Kind, args: JsonObject, scope: Scope, unresolved: Unresolved): JsonObject {
  return mapArgs(kind, args, (info, value) => {
    if (!templatesIn(value).some((text) => readsSecret(text, scope, unresolved))) {
      return resolveField(info, value, scope);
    }
    return mapTexts(value, (text) => recordText(info, text, scope, unresolved));
  });
}

/** The recorded form of an expression: its value, or the expression itself if it reads a secret. */
export function recordExpression(expression: string, scope: Scope, unresolved: Unresolved): Json {
  if (!readsSecret(expression, scope, unresolved)) return evaluate(expression, scope);
  const text = expression.trim();
  const [whole] = compile(expression).references;
  // For `${{ inputs.token }}`, the expression that the caller wrote.
  const known = whole.length === text.length ? lookUp(unresolved, whole.path) : undefined;
  return known === undefined ? `\${{ ${text} }}` : known as Json;
}

/** Whether an expression reads a secret, directly or by a name whose value contains it. */
export function readsSecret(expression: string, scope: Scope, unresolved: Unresolved): boolean {
  return compile(expression).references.some(({ path }: Reference) => {
    if (path[0] === "secrets") return true;
    if (!Object.hasOwn(unresolved, path[0])) return false;
    return writeExactJson(lookUp(scope, path)) !== writeExactJson(lookUp(unresolved, path));
  });
}

function recordText(info: FieldInfo | undefined, text: string, scope: Scope, unresolved: Unresolved): Json {
  if (!hasTemplate(text)) return text;
  const { parts } = parseText(text);
  if (parts.length === 1 && typeof parts[0] !== "string") {
    return recordExpression(parts[0].expression, scope, unresolved);
  }
  return parts.map((part) => {
    if (typeof part === "string") return part;
    const recorded = asText(recordExpression(part.expression, scope, unresolved));
    const isEncoded = info?.is === "url" && !readsSecret(part.expression, scope, unresolved);
    return isEncoded ? encodeURIComponent(recorded) : recorded;
  }).join("");
}

/**
 * Replaces the secrets in a value from rule code: each text that is one of them, in any spelling, becomes `${{ secrets.X }}`.
 * @param secrets names by value
 */
export function nameSecrets<T extends Json>(value: T, secrets: ReadonlyMap<string, string>): T {
  const named = new Map<string, string>();
  for (const [secret, name] of secrets) {
    if (secret.length < SHORTEST_MASKED) continue;
    for (const spelling of spellings(secret)) named.set(spelling, `\${{ secrets.${name} }}`);
  }
  if (named.size === 0) return value;
  const pattern = patternOf(named.keys());
  return replaceDeep(value, (text) => text.replace(pattern, (spelling) => named.get(spelling)!)) as T;
}

function replaceDeep(value: Json, replace: (text: string) => string): Json {
  if (typeof value === "string") return replace(value);
  if (typeof value === "number") return replace(String(value)) === String(value) ? value : replace(String(value));
  if (Array.isArray(value)) return value.map((item) => replaceDeep(item, replace));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [replace(key), replaceDeep(part, replace)]));
}
