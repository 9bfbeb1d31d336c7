import { RE2JS } from "re2js";
import { checkTime } from "./time_limit.ts";
import { LruCache } from "./lru_cache.ts";
import { show } from "../show.ts";

/**
 * Instructions of a pattern's program times characters of a text. A match takes time by this product at worst, up to 30 ns for
 * each, and nothing interrupts it.
 */
const MOST_WORK = 50_000_000;
/** Instructions of a program, and characters of a pattern: to compile so many takes up to 0.2 s. */
const MOST_INSTRUCTIONS = 10_000;
/** Work that is not worth a look at the clock. */
const LITTLE_WORK = 100_000;

/** What stands in a pattern: quoted text, an escape, the start of a class, what is named in it, a count, or one character. */
const TOKENS =
  /\\Q(?<quoted>[^]*?)(?:\\E|$)|\\[pP]\{\^?\w*\}|\\[^]|\[:\^?\w+:\]|\[\^?\]?|\{(?<min>\d+)(?:,(?<max>\d*))?\}|[^]/g;

/** A compiled pattern, or why there is none: one that cannot be used is not read again for each text. */
interface Compiled {
  program?: RE2JS;
  size: number;
  problem?: string;
}

/** Patterns may be computed from data. */
const patterns = new LruCache(compile);

/**
 * Whether the pattern is found anywhere in the text.
 * @throws Error if the pattern cannot be read, or if it would take too long on this text
 */
export function matches(text: string, pattern: string): boolean {
  const { program, size, problem } = patterns.get(pattern);
  if (program === undefined) throw new Error(problem);
  const work = size * text.length;
  if (work > MOST_WORK) throw new Error(describeWork(pattern, size, text.length));
  if (work > LITTLE_WORK) checkTime();
  return program.matcher(text).find();
}

/** Why no text can be matched against the pattern; undefined if it can be used. */
export function patternProblem(pattern: string): string | undefined {
  return patterns.get(pattern).problem;
}

function compile(pattern: string): Compiled {
  if (pattern.length > MOST_INSTRUCTIONS) {
    const most = count(MOST_INSTRUCTIONS);
    const problem = `matches() cannot use the pattern ${show(pattern)}: it has ${count(pattern.length)} characters; ` +
      `a pattern may have at most ${most}`;
    return { size: 0, problem };
  }
  const estimate = estimateSize(pattern);
  if (estimate > MOST_INSTRUCTIONS) return { size: estimate, problem: describeSize(pattern, estimate) };
  let program: RE2JS;
  try {
    program = RE2JS.compile(pattern);
  } catch (error) {
    return { size: 0, problem: `matches() cannot read the pattern ${show(pattern)}: ${(error as Error).message}` };
  }
  const size = program.programSize();
  return size > MOST_INSTRUCTIONS ? { size, problem: describeSize(pattern, size) } : { program, size };
}

/**
 * About how many instructions a pattern compiles to: at least half of them. Known before it is compiled, which for a million
 * takes ten seconds.
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
  return `matches() would take too long: the pattern ${show(pattern)} compiles to ${
    count(size)
  } instructions and the text ` +
    `has ${count(length)} characters, whose product may be at most ${count(MOST_WORK)}; ` +
    `a text of at most ${most} characters would work${smaller(pattern, ", or a pattern with ")}`;
}

function describeSize(pattern: string, size: number): string {
  return `matches() cannot use the pattern ${show(pattern)}: it compiles to about ${count(size)} instructions; ` +
    `at most ${count(MOST_INSTRUCTIONS)} would work${smaller(pattern, ", which takes ")}`;
}

function smaller(pattern: string, before: string): string {
  return /\{\d/.test(pattern) ? `${before}smaller counts in {n,m}` : "";
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
