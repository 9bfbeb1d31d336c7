import { randomUUID } from "node:crypto";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Document, isMap, isScalar, isSeq, type Pair, parseDocument, visit } from "yaml";
import { codeOf } from "../model/errors.ts";
import { isObject, type Json } from "../model/json.ts";
import type { TestOfRun, WrittenTest } from "./test_of_run.ts";

/** Where a test was written, or why it was not. */
export type Written =
  | { kind: "written"; file: string; line: number }
  | { kind: "refused"; file: string; reason: string };

/**
 * Writes a test where those of its rule are: under `tests:` of a YAML file, or in the `*.test.ts` file beside a TypeScript file. What
 * is there stays as it is.
 * @param folder the rules folder, absolute
 */
export async function writeTest(folder: string, { file, rule, test }: TestOfRun): Promise<Written> {
  const isCode = file.endsWith(".ts");
  const target = isCode ? file.replace(/\.ts$/, ".test.ts") : file;
  const path = join(folder, target);
  const before = await readFile(path, "utf8").catch((error) => {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (before?.includes(JSON.stringify(test.name)) || before?.includes(`name: ${test.name}\n`)) {
    return { kind: "refused", file: target, reason: `it already has the test "${test.name}"` };
  }
  const added = isCode ? withCode(before ?? "", rule, test) : withYaml(before ?? "", test);
  if (typeof added === "string") return { kind: "refused", file: target, reason: added };
  const { text, at } = added;
  if (before === undefined) await writeFile(path, text, { flag: "wx" });
  else if (!await replace(path, before, text)) {
    return { kind: "refused", file: target, reason: "it has changed meanwhile" };
  }
  return { kind: "written", file: target, line: text.slice(0, at).split("\n").length };
}

/** Replaces a file all or nothing. @returns false if somebody has saved it meanwhile: it stays as it is */
async function replace(path: string, before: string, text: string): Promise<boolean> {
  const draft = join(dirname(path), `.${basename(path)}.${randomUUID()}.new`);
  const { mode } = await stat(path);
  try {
    await writeFile(draft, text, { flag: "wx", mode: mode & 0o777 });
    if (await readFile(path, "utf8") !== before) return false;
    await rename(draft, path);
    return true;
  } finally {
    await rm(draft, { force: true });
  }
}

/** A file with a test added, and where it begins in the text. */
interface Added {
  text: string;
  at: number;
}

/** @returns the reason if the test cannot be added */
function withYaml(before: string, test: WrittenTest): Added | string {
  if (hasBigInt(test)) return "the data has a whole number beyond 2^53, which a rule in YAML cannot say";
  const newline = before.includes("\r\n") ? "\r\n" : "\n";
  const document = parseDocument(before, { intAsBigInt: true, merge: true });
  if (!isMap(document.contents)) return "it is no rule";
  const pair = document.contents.items.find(({ key }) => String(key) === "tests") as Pair | undefined;
  const entry = yamlOf([test]).trimEnd();
  const indented = (by: number) => entry.split("\n").map((line) => " ".repeat(by) + line).join("\n");
  let added: Added;
  if (pair === undefined) {
    const head = before === "" || before.endsWith("\n") ? before : `${before}${newline}`;
    const own = `${newline}tests:${newline}${indented(2).replaceAll("\n", newline)}${newline}`;
    added = { text: head + own, at: head.length + newline.length };
  } else {
    const { value } = pair;
    if (!isSeq(value) || value.flow || value.items.length === 0) {
      return "its tests: is no list with a line for each entry";
    }
    const first = value.range![0];
    const column = first - (before.lastIndexOf("\n", first - 1) + 1);
    // The end of the last entry, before comments and empty lines that belong to what follows.
    const end = before.slice(0, value.range![1]).trimEnd().length;
    const lineEnd = before.indexOf("\n", end) < 0 ? before.length : before.indexOf("\n", end);
    const head = before.slice(0, lineEnd).replace(/\r$/, "");
    const own = `${newline}${newline}${indented(column).replaceAll("\n", newline)}`;
    const rest = before.slice(lineEnd) || newline;
    added = {
      text: head + own + (rest.startsWith("\n") ? newline + rest.slice(1) : rest),
      at: head.length + own.length,
    };
    added.at = head.length + 2 * newline.length + column;
  }
  return isAddition(before, added.text, test) ? added : "the test cannot be added without changing what is there";
}

function hasBigInt(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return typeof value === "bigint";
  return Object.values(value).some(hasBigInt);
}

/** A value in YAML. The key `<<` is quoted, as a plain one would merge maps. */
function yamlOf(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Pair(_, { key }) {
      if (isScalar(key) && key.value === "<<") key.type = "QUOTE_DOUBLE";
    },
  });
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}

/** Whether a text says what it said before, with one more test. */
function isAddition(before: string, after: string, test: WrittenTest): boolean {
  const parse = (text: string) =>
    parseDocument(text, { intAsBigInt: true, merge: true }).toJS({ maxAliasCount: 10_000 });
  const [old, now] = [parse(before), parse(after)];
  const own = parse(yamlOf(test));
  return isObject(now) && isDeepStrictEqual(now, { ...old, tests: [...old.tests ?? [], own] });
}

function withCode(before: string, rule: string, { name, do: entries, ...options }: WrittenTest): Added {
  const isImported = /import\s*\{[^}]*\btestRule\b[^}]*\}\s*from\s*["']whenthen["']/.test(before);
  const lines = entries.map((entry) => `  ${callOf(entry)}\n`).join("");
  const head = before === "" || before.endsWith("\n") ? before : `${before}\n`;
  const imports = isImported ? "" : 'import { testRule } from "whenthen";\n\n';
  const gap = before === "" ? "" : "\n";
  const call = `testRule(${JSON.stringify(rule)}, ${JSON.stringify(name)}, `;
  const test = `${call}${literal(options, "", call.length + " async (t) => {".length)}, async (t) => {\n${lines}});\n`;
  return { text: head + gap + imports + test, at: (head + gap + imports).length };
}

function callOf(entry: Record<string, Json>): string {
  const [[kind, main], ...others] = Object.entries(entry);
  const value = literal(main, "  ");
  if (kind === "expect") return `t.expect(${value});`;
  const more = others.length === 0 ? "" : `, ${literal(Object.fromEntries(others), "  ")}`;
  return `await t.${kind}(${value}${more});`;
}

/** The longest value on one line. */
const WIDTH = 100;

/** A value as it is written in TypeScript. @param beside how many characters are beside it on its line */
function literal(value: unknown, indent: string, beside = indent.length): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const inner = `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map((item) => literal(item, inner))
    : Object.entries(value).map(([key, item]) => `${keyOf(key)}: ${literal(item, inner)}`);
  if (parts.length === 0) return open + close;
  const space = Array.isArray(value) ? "" : " ";
  const line = `${open}${space}${parts.join(", ")}${space}${close}`;
  if (line.length + beside <= WIDTH && !line.includes("\n")) return line;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close}`;
}

/** A key of an object; `__proto__` without brackets would set its prototype. */
function keyOf(key: string): string {
  if (key === "__proto__") return '["__proto__"]';
  return /^[A-Za-z_]\w*$/.test(key) ? key : JSON.stringify(key);
}
