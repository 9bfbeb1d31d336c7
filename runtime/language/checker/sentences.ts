import { z } from "zod";
import { lookUp } from "../expressions/references.ts";
import { asksForWord, askWhether, didYouMean, hintAtUnknownKey, show } from "../hints.ts";

/** A problem that a schema found in a part of a value, in plain words. */
export interface SchemaProblem {
  path: (string | number)[];
  /** Whether it concerns the key or the value. */
  part: "key" | "value";
  message: string;
  hint?: string;
  /** Whether the value must not be shown. */
  hidden?: true;
}

/** Parses a value; if it is not valid, its value is undefined, and our own sentences say why instead of zod's. */
export function parseWith<S extends z.ZodType>(
  schema: S,
  value: unknown,
): { value: z.output<S> | undefined; problems: SchemaProblem[] } {
  const parsed = schema.safeParse(value, { error: (issue) => sayIssue(issue) });
  if (parsed.success) return { value: parsed.data, problems: [] };
  const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue, value, []));
  return { value: undefined, problems: problems.filter((problem) => !isMisspelt(problem, problems)) };
}

/** For a schema of an object: the error for other values, with an example. */
export function asIn(example: string) {
  return {
    error: (issue: z.core.$ZodRawIssue) =>
      issue.code === "invalid_type" ? `${sayIssue(issue)}\nas in ${example}` : undefined,
  };
}

/** Whether a key is missing because another key is its misspelling: one mistake is one problem. */
function isMisspelt({ path, message }: SchemaProblem, all: SchemaProblem[]): boolean {
  const name = String(path.at(-1));
  const above = JSON.stringify(path.slice(0, -1));
  return message === `${JSON.stringify(name)} is missing` && all.some((other) => {
    return other.hint === askWhether(name) && JSON.stringify(other.path.slice(0, -1)) === above;
  });
}

/** Splits zod's message, which is one text with the hint on its second line. */
function split(message: string): { message: string; hint?: string } {
  const [sentence, hint] = message.split("\n");
  return { message: sentence, ...(hint && { hint }) };
}

type Issue = z.core.$ZodIssue;
type Path = (string | number)[];

/** The path of an issue; no schema here has symbols as keys. */
export function pathOf({ path }: Pick<Issue, "path">): Path {
  return path.map((part) => typeof part === "symbol" ? String(part) : part);
}

function problemsOf(issue: Issue, root: unknown, above: Path): SchemaProblem[] {
  const path = [...above, ...pathOf(issue)];
  if (issue.code === "invalid_union") return problemsOfUnion(issue, root, path);
  if (issue.code === "unrecognized_keys") {
    const [first, ...hints] = issue.message.split("\n");
    return issue.keys.map((key, index): SchemaProblem => {
      return {
        path: [...path, key],
        part: "key",
        message: first.replace("KEY", key),
        ...(hints[index] && { hint: hints[index] }),
      };
    });
  }
  // Already explained by the parser of a part with its own grammar.
  if (issue.code === "custom" && issue.params?.part) {
    return [{ path, part: issue.params.part, ...split(issue.message) }];
  }
  if (issue.code === "custom" && issue.params?.hidden && valueAt(root, path) !== undefined) {
    return [{ path, part: "value", ...split(issue.message), hidden: true }];
  }
  const name = path.at(-1);
  if (valueAt(root, path) === undefined && typeof name === "string") {
    return [{
      path,
      part: "value",
      message: `${JSON.stringify(name)} is missing`,
      hint: split(issue.message).message.replace(/, got nothing$/, ""),
    }];
  }
  return [{ path, part: "value", ...addGot(split(issue.message), issue, valueAt(root, path)) }];
}

/** Adds the actual value: the makers of `arg_types.ts` say only what they expect. */
function addGot(
  said: { message: string; hint?: string },
  issue: Issue,
  value: unknown,
): { message: string; hint?: string } {
  return issue.code === "custom" && issue.params?.expected
    ? { ...said, message: `${said.message}, got ${show(value)}` }
    : said;
}

/** The problems of the union's option that was probably meant; else the expectations of all options. */
function problemsOfUnion(issue: Issue & { code: "invalid_union" }, root: unknown, path: Path): SchemaProblem[] {
  const options = issue.errors.filter((issues) => issues.length > 0);
  const meant = options.filter((issues) =>
    issues.every(({ code, path }) => path.length > 0 || code === "unrecognized_keys")
  );
  if (meant.length > 0) {
    const [closest] = meant.sort((a, b) => a.length - b.length);
    return closest.flatMap((inner) => problemsOf(inner, root, path));
  }
  const all = options.flat().flatMap((inner) => problemsOf(inner, root, path));
  const phrases = all.flatMap(({ message, hint }) => {
    const [, phrase] = /^expected (.+?)(?:, got .*)?$/.exec(message) ?? /^expected (.+)$/.exec(hint ?? "") ?? [];
    return phrase ? [phrase] : [];
  });
  const value = valueAt(root, path);
  const expected = joinPhrases(phrases);
  if (value === undefined) {
    return [{
      path,
      part: "value",
      message: `${JSON.stringify(path.at(-1))} is missing`,
      hint: `expected ${expected}`,
    }];
  }
  const close = all.find(({ hint }) => asksForWord(hint));
  return [{
    path,
    part: "value",
    message: `expected ${expected}, got ${show(value)}`,
    ...(close && { hint: close.hint }),
  }];
}

/** Joins several lists of names into one. */
function joinPhrases(phrases: string[]): string {
  const names = phrases.flatMap((phrase) => phrase.match(/^(?:one of )?((?:"[^"]*"(?:, )?)+)$/)?.[1].split(", ") ?? []);
  const others = [...new Set(phrases.filter((phrase) => !/^(?:one of )?"/.test(phrase)))];
  const list = names.length > 1 ? [`one of ${names.join(", ")}`] : names;
  return [...list, ...others].join(", or ") || "something else";
}

function sayIssue(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return `expected ${TYPES[issue.expected] ?? issue.expected}, got ${show(issue.input)}`;
    case "invalid_value":
      return sayChoice(issue.values, issue.input);
    case "too_small":
      return saySize(issue.origin, "at least", Number(issue.minimum), issue.input);
    case "too_big":
      return saySize(issue.origin, "at most", Number(issue.maximum), issue.input);
    case "invalid_format":
      return `expected ${FORMATS[issue.format] ?? `text that looks like ${issue.pattern ?? issue.format}`}, got ${
        show(issue.input)
      }`;
    case "not_multiple_of":
      return `expected a multiple of ${issue.divisor}, got ${show(issue.input)}`;
    case "unrecognized_keys":
      return sayKeys(issue.keys, issue.inst);
    default:
      return undefined;
  }
}

const TYPES: Record<string, string> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "an object",
  record: "an object",
  array: "a list",
  null: "nothing after the key",
};

const FORMATS: Record<string, string> = {
  email: "an e-mail address",
  url: "a URL",
  datetime: "a time",
  date: "a date",
};

function sayChoice(values: readonly unknown[], input: unknown): string {
  const names = values.map((value) => JSON.stringify(value));
  const near = typeof input === "string" ? didYouMean(input, values.map(String)) : undefined;
  const expected = names.length === 1 ? names[0] : `one of ${names.join(", ")}`;
  return `expected ${expected}, got ${show(input)}${near === undefined ? "" : `\n${near}`}`;
}

function saySize(origin: string, bound: string, limit: number, input: unknown): string {
  const unit = origin === "string" ? " characters" : limit === 1 ? " item" : " items";
  const isCounted = typeof input === "string" || Array.isArray(input);
  return `expected ${bound} ${limit}${isCounted ? unit : ""}, got ${isCounted ? input.length : show(input)}`;
}

/** The message about all unknown keys, followed by a line with the hint for each. */
function sayKeys(keys: string[], inst: unknown): string {
  const known = inst instanceof z.ZodObject ? Object.keys(inst.shape) : [];
  return ['unknown key "KEY"', ...keys.map((key) => hintAtUnknownKey(key, known))].join("\n");
}

function valueAt(root: unknown, path: Path): unknown {
  return lookUp(root, path.map(String));
}
