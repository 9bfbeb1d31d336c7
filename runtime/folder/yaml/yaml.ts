import { LineCounter, parseDocument, type YAMLError } from "yaml";
import type { Json } from "../../model/json.ts";
import type { Problem } from "../../model/problem.ts";
import { guarded } from "../guard.ts";
import { YamlOrigin, type YamlTree } from "./yaml_origin.ts";
import { explainSyntaxError, type Finding } from "./yaml_syntax.ts";
import { findTraps } from "./yaml_traps.ts";

/** One YAML file, read but not yet checked. */
export interface YamlFile {
  /** Absent if a syntax error leaves nothing to check. */
  value?: Json;
  origin: YamlOrigin;
  text: string;
  problems: Problem[];
}

/** Most characters of a file: rules are small, and other files must not stall the reload. */
const MAX_LENGTH = 1_000_000;
/** Levels of nesting; deeper files would exhaust the stack of every recursive function. */
const MAX_DEPTH = 100;
const TOO_DEEP = `a file may nest ${MAX_DEPTH} levels deep`;
/** These errors leave the shape of the file unambiguous, so all of them are reported and the checker continues. */
const HARMLESS = new Set(["DUPLICATE_KEY", "TAG_RESOLVE_FAILED"]);

const OPTIONS = {
  prettyErrors: false,
  keepSourceTokens: true,
  stringKeys: true,
  resolveKnownTags: false,
  logLevel: "error",
} as const;

/**
 * Reads a YAML 1.2 file: its value, the positions in it, and its problems as YAML. Only the first syntax error is reported,
 * because the others usually follow from it.
 * @param file path for the problems
 */
export function parseYaml(source: string, file: string): YamlFile {
  return guarded(file, () => parse(source, file), unread);
}

/** A file without problems whose value is known; it is parsed only if a position in it is needed. */
export function knownYaml(source: string, file: string, value: Json): YamlFile {
  const text = withoutMark(source);
  return { value, origin: new YamlOrigin(file, text, undefined, read), text, problems: [] };
}

function withoutMark(source: string): string {
  return source.startsWith("\uFEFF") ? source.slice(1) : source;
}

function parse(source: string, file: string): YamlFile {
  const text = withoutMark(source);
  if (text.length > MAX_LENGTH) return refused(file, `a file may have ${MAX_LENGTH} characters, not ${text.length}`);
  let reading: Reading;
  try {
    reading = read(text);
  } catch (error) {
    // The library collects errors; it throws only on stack overflow.
    if (error instanceof RangeError) return refused(file, TOO_DEEP);
    throw error;
  }
  const { document, syntax, findings } = reading;
  if (document.errors.some(({ code }) => code === "RESOURCE_EXHAUSTION")) return refused(file, TOO_DEEP);
  const origin = new YamlOrigin(file, text, reading, read);
  const report = (findings: Finding[]) => findings.map((finding) => toProblem(finding, file, text, origin));
  if (syntax) return { origin, text, problems: report([explainSyntaxError(syntax, text)]) };

  findings.push(...duplicates(document.errors, text), ...rest(document.warnings, findings, text));
  if (document.directives?.yaml.version !== "1.2") {
    findings.push({ from: 0, to: 5, message: "expected YAML 1.2", hint: "remove the %YAML directive" });
  }
  try {
    const value = document.toJS() as Json;
    if (!isShallow(value, MAX_DEPTH)) return refused(file, TOO_DEEP);
    return { value, origin, text, problems: report(findings) };
  } catch {
    // The library limits what aliases multiply; its other errors here are about aliases, too.
    const from = Math.max(0, text.indexOf("*"));
    findings.push({ from, to: from + 1, message: "too many aliases of aliases", hint: "write the values out" });
    return { origin, text, problems: report(findings) };
  }
}

interface Reading extends YamlTree {
  /** The error that makes the shape of the file ambiguous. */
  syntax?: YAMLError;
  findings: Finding[];
}

function read(text: string): Reading {
  const lines = new LineCounter();
  const document = parseDocument(text, { ...OPTIONS, lineCounter: lines });
  const syntax = document.errors.find((error) => !HARMLESS.has(error.code));
  if (syntax) return { document, lines, reread: new Map(), syntax, findings: [] };
  return { document, lines, ...findTraps(document, text) };
}

function duplicates(errors: YAMLError[], text: string): Finding[] {
  return errors.filter((error) => error.code === "DUPLICATE_KEY").map(({ pos: [from] }) => {
    const key = /^(?:"[^"\n]*"|'[^'\n]*'|[^:\n]*)/.exec(text.slice(from))![0].trim();
    return { from, to: from + key.length, message: `"${key}" is here twice`, hint: "keep one of them" };
  });
}

/** All other warnings of the library are problems too. */
function rest(warnings: YAMLError[], known: Finding[], text: string): Finding[] {
  return warnings
    .filter(({ pos }) => !known.some(({ from, to }) => from <= pos[0] && pos[0] < to))
    .map((warning) => explainSyntaxError(warning, text));
}

function toProblem(finding: Finding, file: string, text: string, origin: YamlOrigin): Problem {
  const { from, to, severity = "error", message, hint } = finding;
  const at = origin.span(from, to);
  const sourceLine = lineOf(text, at.line);
  return {
    severity,
    file,
    at,
    message,
    ...(hint !== undefined && { hint }),
    ...(sourceLine !== undefined && { sourceLine }),
  };
}

/** A line of a text, counted from 1, for the caret below it. */
export function lineOf(text: string, line: number): string | undefined {
  return text.split("\n", line)[line - 1]?.replace(/\r$/, "");
}

function isShallow(value: Json, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((part) => isShallow(part, levels - 1));
}

function refused(file: string, message: string): YamlFile {
  const at = { line: 1, column: 1 };
  return unread({ severity: "error", file, at, message, hint: "split it into several files" });
}

/** A file of which only the problem is known. */
export function unread(problem: Problem): YamlFile {
  return { origin: new YamlOrigin(problem.file, "", read(""), read), text: "", problems: [problem] };
}
