import {
  Alias,
  type CST,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  Scalar,
  visit,
  type YAMLError,
} from "yaml";
import type { Json } from "../../model/json.ts";
import { guarded, type Problem } from "../../model/problem.ts";
import { isMergeKey, YamlOrigin, type YamlTree } from "./yaml_origin.ts";
import { findExcess } from "./yaml_size.ts";
import { explainSyntaxError, type Finding, quoted } from "./yaml_syntax.ts";

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
const HARMLESS = new Set(["TAG_RESOLVE_FAILED"]);

const OPTIONS = {
  prettyErrors: false,
  keepSourceTokens: true,
  stringKeys: true,
  resolveKnownTags: false,
  // We look for them ourselves: the library (2.9) compares each key with all before it.
  uniqueKeys: false,
  // Merge keys, of YAML 1.1.
  merge: true,
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

  findings.push(...duplicates(document, text, reading.lines), ...rest(document.warnings, findings, text));
  if (document.directives?.yaml.version !== "1.2") {
    findings.push({ from: 0, to: 5, message: "expected YAML 1.2", hint: "remove the %YAML directive" });
  }
  const excess = findExcess(document, reading.anchors);
  if (excess) return { origin, text, problems: report([...findings, excess]) };
  // The limit of the library counts no values.
  const value = document.toJS({ maxAliasCount: -1 }) as Json;
  if (!isShallow(value)) return refused(file, TOO_DEEP);
  return { value, origin, text, problems: report(findings) };
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
  if (syntax) return { document, lines, reread: new Map(), anchors: new Map(), syntax, findings: [] };
  return { document, lines, ...findTraps(document, text) };
}

function duplicates(document: Document.Parsed, text: string, lines: LineCounter): Finding[] {
  const found: Finding[] = [];
  visit(document, {
    Map(_, map) {
      const known = new Map<unknown, number>();
      for (const { key } of map.items) {
        if (!isScalar(key) || !key.range) continue;
        const [from] = key.range;
        const first = known.get(key.value);
        if (first === undefined) known.set(key.value, from);
        else found.push(twice(key.value, from, first));
      }
    },
  });
  return found;

  function twice(key: unknown, from: number, first: number): Finding {
    const written = /^(?:"[^"\n]*"|'[^'\n]*'|[^:\n]*)/.exec(text.slice(from))![0].trim();
    // Only a merge key is no text.
    const message = `"${typeof key === "string" ? key : written}" is here twice: first in line ${
      lines.linePos(first).line
    }`;
    return { from, to: from + written.length, message, hint: "keep one of them" };
  }
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

/** Whether no value is nested deeper. */
function isShallow(value: Json, levels = MAX_DEPTH): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1));
}

function refused(file: string, message: string): YamlFile {
  const at = { line: 1, column: 1 };
  return unread({ severity: "error", file, at, message, hint: "split it into several files" });
}

/** A file of which only the problem is known. */
export function unread(problem: Problem): YamlFile {
  return { origin: new YamlOrigin(problem.file, "", read(""), read), text: "", problems: [problem] };
}

/** What YAML accepts but reads differently than intended. */
interface Traps {
  findings: Finding[];
  /** Values whose intended text was restored, with the offset of its beginning. */
  reread: Map<Scalar, number>;
  /** What aliases stand for. */
  anchors: Map<Alias, Node>;
}

/**
 * Finds tags (`if: !x`), aliases and `<<` of what cannot be merged, comments instead of values (`channel: #deals`), numbers that lose digits. Values read as
 * a tag, alias or comment get their text back, so that the checker does not report them again.
 */
function findTraps(document: Document.Parsed, text: string): Traps {
  const traps: Traps = { findings: [], reread: new Map(), anchors: new Map() };
  const anchors = new Map<string, Node>();
  visit(document, {
    Pair(_, pair) {
      const { key, value } = pair as Pair<Node, Node | null>;
      return isMergeKey(key) && !canMerge(value, key) ? visit.REMOVE : undefined;
    },
    Map(_, map) {
      remember(map);
      for (const pair of map.items as Pair<Node, Node | null>[]) {
        const { start, sep = [] } = pair.srcToken ?? { start: [] };
        const key = isScalar(pair.key) ? String(pair.key.value) : undefined;
        tagged(start, pair.key, undefined);
        tagged(sep, pair.value, key);
        swallowed(pair, sep, key);
      }
    },
    Seq(_, seq) {
      remember(seq);
      const token = seq.srcToken as CST.BlockSequence | CST.FlowCollection | undefined;
      const items = token?.items.filter((item) => item.value || item.start.some(beginsItem)) ?? [];
      if (items.length !== seq.items.length) return;
      for (const [index, item] of seq.items.entries()) if (isNode(item)) tagged(items[index].start, item, undefined);
    },
    Scalar(_, scalar) {
      remember(scalar);
      numeric(scalar);
      commented(scalar);
    },
    Alias(key, alias) {
      return key === "key" ? undefined : dangling(alias);
    },
  });
  return traps;

  function remember(node: Exclude<Node, Alias>): void {
    if (node.anchor !== undefined) anchors.set(node.anchor, node);
  }

  function tagged(tokens: CST.SourceToken[], node: Node | null, key: string | undefined): void {
    const tag = tokens.find((token) => token.type === "tag");
    if (!tag) return;
    const value = isScalar(node) && node.range
      ? text.slice(tag.offset, Math.max(node.range[1], tag.offset + tag.source.length))
      : tag.source;
    if (isScalar(node)) reread(node, value, tag.offset);
    traps.findings.push({
      from: tag.offset,
      to: tag.offset + value.length,
      message: `"${tag.source}" reads as a YAML tag`,
      hint: `quote it: ${keyed(key, value)}`,
    });
  }

  /** `channel: #deals` */
  function swallowed(pair: Pair<Node, Node | null>, tokens: CST.SourceToken[], key: string | undefined): void {
    const value = pair.value;
    if (!isScalar(value) || value.value !== null || value.source !== "") return;
    const line = tokens.findIndex((token) => token.type === "newline");
    const comment = tokens.slice(0, line === -1 ? undefined : line).find((token) => /^#\S/.test(token.source));
    if (!comment) return;
    reread(value, comment.source, comment.offset);
    traps.findings.push({
      from: comment.offset,
      to: comment.offset + comment.source.length,
      message: `"${key}" has no value: "#" begins a comment`,
      hint: `quote it: ${keyed(key, comment.source)}`,
    });
  }

  /** `text: Order #${{ id }}` */
  function commented(scalar: Scalar): void {
    if (scalar.type !== Scalar.PLAIN || !scalar.range) return;
    const [comment] = /^[ \t]+#[^\s#][^\n]*/.exec(text.slice(scalar.range[1])) ?? [];
    if (comment === undefined || traps.reread.has(scalar)) return;
    const from = scalar.range[1] + comment.indexOf("#");
    const whole = text.slice(scalar.range[0], scalar.range[1]) + comment.trimEnd();
    traps.findings.push({
      from,
      to: scalar.range[1] + comment.trimEnd().length,
      message: `"${comment.trim()}" is a comment: "#" after a space begins one`,
      hint: `quote the whole: ${quoted(whole)}; or put a space after the "#"`,
      severity: comment.includes("${{") ? "error" : "warning",
    });
  }

  function numeric(scalar: Scalar): void {
    const { source = "", value } = scalar;
    if (typeof value !== "number" || !scalar.range) return;
    const lost = !Number.isFinite(value)
      ? "is not a valid JSON number"
      : /^[-+]?\d+$/.test(source) && !Number.isSafeInteger(value)
      ? "has more digits than a number can hold"
      : /^[-+]?0\d/.test(source)
      ? `reads as the number ${value}`
      : undefined;
    if (lost === undefined) return;
    const hint = `quote it if it is text: ${quoted(source)}`;
    traps.findings.push({ from: scalar.range[0], to: scalar.range[1], message: `"${source}" ${lost}`, hint });
  }

  /** Whether a value can be merged: a block, an alias of one, or a list of these. Reports it if not. */
  function canMerge(value: Node | null, key: Node): boolean {
    const blocks: unknown[] = isSeq(value) ? value.items : [value];
    const wrong = blocks.find((block) => !isMap(isAlias(block) ? findAnchor(block).anchor : block));
    if (wrong === undefined) return true;
    const [from, to] = (isNode(wrong) && wrong.range ? wrong : key).range!;
    traps.findings.push({
      from,
      to,
      message: isAlias(wrong) ? sayDangling(wrong) : '"<<" merges the keys of other blocks',
      hint: "merge a block that has an anchor: x-slow: &slow { timeout: 5m }, and <<: *slow where it is used",
    });
    return false;
  }

  /** The value that an alias stands for; absent if there is none, or if the value contains the alias. */
  function findAnchor(alias: Alias): { anchor?: Node; cyclic: boolean } {
    const from = alias.range![0];
    const anchor = anchors.get(alias.source);
    const cyclic = !!anchor?.range && anchor.range[0] <= from && from < anchor.range[1] &&
      (isMap(anchor) || isSeq(anchor));
    if (anchor === undefined || cyclic) return { cyclic };
    traps.anchors.set(alias, anchor);
    return { anchor, cyclic };
  }

  function sayDangling(alias: Alias): string {
    const [from, to] = alias.range!;
    const { anchor, cyclic } = findAnchor(alias);
    if (cyclic) return `"${text.slice(from, to)}" refers to a value that contains it`;
    const wrong = anchor ? "is no block of keys" : "reads as a YAML alias of an anchor that does not exist";
    return `"${text.slice(from, to)}" ${wrong}`;
  }

  /** An alias of nothing, or of a value that contains it. */
  function dangling(alias: Alias): Scalar | undefined {
    const { anchor, cyclic } = findAnchor(alias);
    if (anchor) return undefined;
    const [from, to] = alias.range!;
    const value = text.slice(from, to);
    const hint = cyclic ? "write the value out" : `quote it: ${quoted(value)}`;
    traps.findings.push({ from, to, message: sayDangling(alias), hint });
    const scalar = new Scalar(value);
    scalar.range = alias.range;
    reread(scalar, value, from);
    return scalar;
  }

  function reread(scalar: Scalar, value: string, from: number): void {
    scalar.value = value;
    scalar.range = [from, from + value.length, from + value.length];
    traps.reread.set(scalar, from);
  }
}

/** Distinguishes an empty item from a comment at the end of a list. */
function beginsItem(token: CST.SourceToken): boolean {
  return token.type === "seq-item-ind" || token.type === "tag";
}

function keyed(key: string | undefined, value: string): string {
  return key === undefined ? quoted(value) : `${key}: ${quoted(value)}`;
}
