import { LruCache } from "./lru_cache.ts";

/** A parsed string with `${{ }}` in it. */
export interface TemplateText {
  parts: (string | TemplateExpression)[];
  problem?: { message: string; hint?: string; offset: number; length: number };
}

/** One expression of a template: its text, and the position in the string. */
export interface TemplateExpression {
  expression: string;
  offset: number;
}

const OPEN = "${{";
const cache = new LruCache(parse);

/** Parses a string; cached. `$${{` is a literal `${{`. */
export function parseTemplate(text: string): TemplateText {
  return cache.get(text);
}

function parse(text: string): TemplateText {
  const parts: TemplateText["parts"] = [];
  let literal = "";
  let at = 0;
  for (;;) {
    const open = text.indexOf(OPEN, at);
    if (open === -1) break;
    if (text[open - 1] === "$" && open - 1 >= at) {
      literal += text.slice(at, open - 1) + OPEN;
      at = open + OPEN.length;
      continue;
    }
    const start = open + OPEN.length;
    const end = findEnd(text, start);
    if (end === undefined) {
      const hint = "close the expression with }}, or write $${{ for the characters ${{ themselves";
      return { parts: [], problem: { message: "${{ is not closed", hint, offset: open, length: OPEN.length } };
    }
    literal += text.slice(at, open);
    if (literal !== "") parts.push(literal);
    literal = "";
    parts.push({ expression: text.slice(start, end), offset: start });
    at = end + 2;
  }
  literal += text.slice(at);
  if (literal !== "") parts.push(literal);
  return { parts };
}

/** The position of the `}}` that closes an expression, ignoring those in strings and of maps. */
function findEnd(text: string, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === '"' || char === "'") {
      const end = skipString(text, at);
      if (end === undefined) return undefined;
      at = end;
    } else if (char === "{") depth++;
    else if (char === "}" && depth > 0) depth--;
    else if (char === "}" && text[at + 1] === "}") return at;
  }
  return undefined;
}

/** The position of the quote that closes the string opened at `open`. A backslash escapes a quote, also in raw strings. */
function skipString(text: string, open: number): number | undefined {
  const quote = text.startsWith(text[open].repeat(3), open) ? text[open].repeat(3) : text[open];
  for (let at = open + quote.length; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text.startsWith(quote, at)) return at + quote.length - 1;
  }
  return undefined;
}
