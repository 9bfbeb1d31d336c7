/** How a YAML scalar is written; a subset of the `yaml` library's names. */
export type ScalarStyle = "PLAIN" | "QUOTE_SINGLE" | "QUOTE_DOUBLE" | "BLOCK_LITERAL" | "BLOCK_FOLDED";

/**
 * Finds the source position of a character of a scalar's value. YAML changes only whitespace and escapes between the two,
 * so the n-th visible character of one is the n-th of the other; that holds for every style, folded or not.
 *
 * @param source the scalar as written, quotes and block header included
 * @param offset counts UTF-16 units in the value
 * @returns an offset in the source
 */
export function sourceOffset(source: string, style: ScalarStyle, value: string, offset: number): number {
  const [start, end] = body(source, style);
  const wanted = visible(value, offset);
  let seen = 0;
  let behind = start;
  for (const unit of units(source, style, start, end)) {
    if (!unit.visible) continue;
    if (seen + unit.length > wanted.before && isVisible(value[offset])) return unit.at;
    if (seen === wanted.before) break;
    seen += unit.length;
    behind = unit.at + unit.width;
  }
  return Math.min(behind + wanted.gap, end);
}

interface Unit {
  at: number;
  /** Characters in the source. */
  width: number;
  /** UTF-16 units in the value. */
  length: number;
  visible: boolean;
}

/** How many visible units are before the offset, and how far after the last of them it is. */
function visible(value: string, offset: number): { before: number; gap: number } {
  let before = 0;
  let last = -1;
  for (let index = 0; index < Math.min(offset, value.length); index++) {
    if (!isVisible(value[index])) continue;
    before++;
    last = index;
  }
  return { before, gap: offset - last - 1 };
}

function isVisible(char: string | undefined): boolean {
  return char !== undefined && !/\s/.test(char);
}

function body(source: string, style: ScalarStyle): [number, number] {
  if (style === "QUOTE_SINGLE" || style === "QUOTE_DOUBLE") return [1, source.length - 1];
  if (style === "PLAIN") return [0, source.length];
  const header = source.indexOf("\n") + 1;
  const indent = /^[ ]*/.exec(source.slice(header))![0].length;
  return [header + indent, source.length];
}

const ESCAPE_DIGITS: Record<string, number> = { x: 2, u: 4, U: 8 };

function* units(source: string, style: ScalarStyle, start: number, end: number): Generator<Unit> {
  for (let at = start; at < end;) {
    const unit = style === "QUOTE_DOUBLE" && source[at] === "\\" ? escape(source, at) : plain(source, at, style);
    yield unit;
    at += unit.width;
  }
}

function plain(source: string, at: number, style: ScalarStyle): Unit {
  const width = style === "QUOTE_SINGLE" && source.startsWith("''", at) ? 2 : 1;
  return { at, width, length: 1, visible: isVisible(source[at]) };
}

function escape(source: string, at: number): Unit {
  const digits = ESCAPE_DIGITS[source[at + 1]];
  if (digits === undefined) {
    // The other escapes give whitespace, control characters, or the escaped character itself.
    return { at, width: 2, length: 1, visible: !/[tnvfrNLP_ \s]/.test(source[at + 1] ?? " ") };
  }
  const code = Number.parseInt(source.slice(at + 2, at + 2 + digits), 16);
  const text = Number.isNaN(code) || code > 0x10ffff ? "" : String.fromCodePoint(code);
  return { at, width: 2 + digits, length: text.length, visible: isVisible(text[0]) };
}
