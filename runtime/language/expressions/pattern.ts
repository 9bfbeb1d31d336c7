import { RE2JS } from "re2js";
import { messageOf } from "../../model/errors.ts";
import { checkTime } from "./meter.ts";
import { LruCache } from "./lru_cache.ts";
import { show } from "../hints.ts";

/**
 * Maximum of a pattern's instructions times a text's characters. The worst-case time of a match is proportional to this product,
 * up to 30 ns per unit, and a match cannot be interrupted.
 */
const MOST_WORK = 50_000_000;
/** Maximum of a program's instructions, and of a pattern's characters: compiling them takes up to 0.2 s. */
const MOST_INSTRUCTIONS = 10_000;
/** Work that is too small to check the clock. */
const LITTLE_WORK = 100_000;

/** The tokens of a pattern: quoted text, an escape, the start of a class, a named class in it, a count, or one character. */
const TOKENS =
  /\\Q(?<quoted>[^]*?)(?:\\E|$)|\\[pP]\{\^?\w*\}|\\[^]|\[:\^?\w+:\]|\[\^?\]?|\{(?<min>\d+)(?:,(?<max>\d*))?\}|[^]/g;

/** A compiled pattern, or the reason why it cannot be used, so that it is not compiled again for each text. */
interface Compiled {
  program?: RE2JS;
  size: number;
  problem?: string;
}

/** An LRU cache, as patterns may be computed from data. */
const patterns = new LruCache(compile);

/**
 * Whether the pattern is found anywhere in the text.
 * @throws Error if the pattern cannot be read, or if it would take too long on this text
 */
export function matches(text: string, pattern: string): boolean {
  return programFor(text, pattern, "matches").matcher(text).find();
}

/**
 * What the pattern finds first in the text: its group; several groups as a list, or by their names if it names them; without groups all
 * that it matched. Null if it is not found; a group that took no part is null.
 * @throws Error as {@link matches}
 */
export function capture(text: string, pattern: string): Captured | Record<string, Captured> | Captured[] {
  const program = programFor(text, pattern, "capture");
  const found = program.matcher(text);
  if (!found.find()) return null;
  const names = Object.entries(program.namedGroups());
  if (names.length > 0) return Object.fromEntries(names.map(([name, group]) => [name, found.group(group)]));
  const count = program.groupCount();
  if (count < 2) return found.group(count);
  return Array.from({ length: count }, (_, index) => found.group(index + 1));
}

type Captured = string | null;

/** The compiled pattern, if it may be used on the text. */
function programFor(text: string, pattern: string, asker: string): RE2JS {
  const { program, size, problem } = patterns.get(pattern);
  if (program === undefined) throw new Error(`${asker}() ${problem}`);
  const work = size * text.length;
  if (work > MOST_WORK) throw new Error(`${asker}() ${describeWork(pattern, size, text.length)}`);
  if (work > LITTLE_WORK) checkTime();
  return program;
}

/** Why `asker` can match no text against the pattern; undefined if it can be used. */
export function patternProblem(pattern: string, asker = "matches"): string | undefined {
  const { problem } = patterns.get(pattern);
  return problem === undefined ? undefined : `${asker}() ${problem}`;
}

function compile(pattern: string): Compiled {
  if (pattern.length > MOST_INSTRUCTIONS) {
    const most = count(MOST_INSTRUCTIONS);
    const problem = `cannot use the pattern ${show(pattern)}: it has ${count(pattern.length)} characters; ` +
      `a pattern may have at most ${most}`;
    return { size: 0, problem };
  }
  const estimate = estimateSize(pattern);
  if (estimate > MOST_INSTRUCTIONS) return { size: estimate, problem: describeSize(pattern, estimate) };
  let program: RE2JS;
  try {
    program = RE2JS.compile(pattern);
  } catch (error) {
    return { size: 0, problem: `cannot read the pattern ${show(pattern)}: ${messageOf(error)}` };
  }
  const size = program.programSize();
  return size > MOST_INSTRUCTIONS ? { size, problem: describeSize(pattern, size) } : { program, size };
}

/**
 * Estimates how many instructions a pattern compiles to; the result is at least half of them. Compiling it to find out would take
 * ten seconds for a million instructions.
 */
function estimateSize(pattern: string): number {
  const open: number[] = [];
  let size = 0;
  let last = 0;
  let inClass = false;
  for (const { 0: token, groups } of pattern.matchAll(TOKENS)) {
    if (inClass) {
      inClass = !/^(\[\^?)?\]$/.test(token);
    } else if (token === "(") {
      open.push(size);
      size = last = 0;
    } else if (token === ")") {
      last = size + 2;
      size = (open.pop() ?? 0) + last;
    } else if (groups!.min !== undefined) {
      const times = Math.max(1, Number(groups!.min), Number(groups!.max ?? 0));
      size += last * (times - 1);
      last *= times;
    } else if (/^[*+?|]$/.test(token)) {
      size += 1;
    } else {
      inClass = token.startsWith("[");
      size += groups!.quoted?.length ?? 1;
      last = 1;
    }
  }
  return open.reduce((sum, outer) => sum + outer, size);
}

function describeWork(pattern: string, size: number, length: number): string {
  const most = count(Math.floor(MOST_WORK / size));
  return `would take too long: the pattern ${show(pattern)} compiles to ${count(size)} instructions and the text ` +
    `has ${count(length)} characters, whose product may be at most ${count(MOST_WORK)}; ` +
    `a text of at most ${most} characters would work${smaller(pattern, ", or a pattern with ")}`;
}

function describeSize(pattern: string, size: number): string {
  return `cannot use the pattern ${show(pattern)}: it compiles to about ${count(size)} instructions; ` +
    `at most ${count(MOST_INSTRUCTIONS)} would work${smaller(pattern, ", which takes ")}`;
}

function smaller(pattern: string, before: string): string {
  return /\{\d/.test(pattern) ? `${before}smaller counts in {n,m}` : "";
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
