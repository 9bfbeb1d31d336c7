import {
  Alias,
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type LineCounter,
  type Node,
  type Pair,
  type Scalar,
} from "yaml";
import type { Origin } from "../../language/checker/checking.ts";
import type { Position } from "../../model/problem.ts";

/** The parsed form of a text, many times as large. */
export interface YamlTree {
  document: Document.Parsed;
  lines: LineCounter;
  /** Values that were read again as text because YAML took them for something else; see `findTraps` in `yaml.ts`. */
  reread: ReadonlyMap<Scalar, number>;
  /** What aliases stand for. */
  anchors: ReadonlyMap<Alias, Node>;
}

/** The positions of a YAML file's values in its text. */
export class YamlOrigin implements Origin {
  readonly language = "yaml";
  #known: YamlTree | undefined;

  /**
   * @param tree of the text, if it was parsed
   * @param parse makes the tree if it is unknown or was released
   */
  constructor(
    readonly file: string,
    private readonly text: string,
    tree: YamlTree | undefined,
    private readonly parse: (text: string) => YamlTree,
  ) {
    this.#known = tree;
  }

  /** Releases the tree: positions are needed again only if a file is checked again. */
  forget(): void {
    this.#known = undefined;
  }

  get #tree(): YamlTree {
    return this.#known ??= this.parse(this.text);
  }

  /** The position of a path's key or value; if the path is not in the file, of its nearest ancestor. */
  at(path: (string | number)[], part: "key" | "value"): Position {
    let node: Node | null = this.#tree.document.contents;
    let key: Node | null = null;
    let last: Node | null = node;
    for (const [depth, name] of path.entries()) {
      const step = enter(node, name, this.#tree.anchors);
      if (step === undefined) return this.#position(key && depth > 0 && part === "key" ? key : last);
      [key, node] = step;
      last = node ?? key ?? last;
    }
    return this.#position(part === "key" ? key ?? last : isEmpty(node) ? key ?? last : node);
  }

  /** The position of `length` characters from `offset` on in the text at a path. */
  within(path: (string | number)[], offset: number, length: number): Position {
    const node = this.#find(path);
    if (!isScalar(node) || !node.range) return this.at(path, "value");
    const style = this.#tree.reread.has(node) ? "PLAIN" : (node.type ?? "PLAIN") as ScalarStyle;
    const start = this.#tree.reread.get(node) ?? node.range[0];
    const source = this.text.slice(start, node.range[1]);
    const value = typeof node.value === "string" ? node.value : node.source ?? "";
    const from = start + sourceOffset(source, style, value, Math.min(offset, value.length));
    const last = start + sourceOffset(source, style, value, Math.min(offset + Math.max(length, 1) - 1, value.length));
    return this.span(from, last + 1);
  }

  /** The plain scalar at a path as it is written; undefined if there is none. */
  written(path: (string | number)[]): string | undefined {
    const found = this.#find(path);
    const node = found instanceof Alias ? this.#tree.anchors.get(found) : found;
    return isScalar(node) && node.type === "PLAIN" ? node.source : undefined;
  }

  /** The position of a piece of the text; the caret stays on the first line. */
  span(from: number, to: number): Position {
    const { line, col } = this.#tree.lines.linePos(from);
    const lineEnd = this.text.indexOf("\n", from);
    const end = Math.min(to, lineEnd === -1 ? this.text.length : lineEnd);
    return { line, column: col, length: Math.max(1, end - from) };
  }

  #find(path: (string | number)[]): Node | null {
    let node: Node | null = this.#tree.document.contents;
    for (const name of path) {
      const step = enter(node, name, this.#tree.anchors);
      if (step === undefined) return null;
      node = step[1];
    }
    return node;
  }

  #position(node: Node | null): Position {
    if (!node?.range) return { line: 1, column: 1 };
    const start = isScalar(node) ? this.#tree.reread.get(node) ?? node.range[0] : node.range[0];
    if (isScalar(node) || node instanceof Alias) return this.span(start, node.range[1]);
    const { line, col } = this.#tree.lines.linePos(start);
    return { line, column: col };
  }
}

/** One step down: the key and value of `name`, or undefined if there is none. */
function enter(
  given: Node | null,
  name: string | number,
  anchors: YamlTree["anchors"],
): [key: Node | null, value: Node | null] | undefined {
  const node = given instanceof Alias ? anchors.get(given) ?? null : given;
  if (isMap(node)) {
    const pairs = node.items as Pair<Node, Node | null>[];
    const pair = pairs.find(({ key }) => isScalar(key) && !isMergeKey(key) && String(key.value) === String(name));
    if (pair !== undefined) return [pair.key, pair.value];
    // A key that the block does not have itself is that of the first block that is merged into it.
    const merged = pairs.filter(({ key }) => isMergeKey(key)).flatMap(({ value }) =>
      isSeq(value) ? value.items : [value]
    );
    return merged.map((block) => enter(block as Node | null, name, anchors)).find((step) => step !== undefined);
  }
  if (isSeq(node) && typeof name === "number" && name < node.items.length) {
    const item = node.items[name];
    return [null, isNode(item) ? item : null];
  }
  return undefined;
}

/** Whether a key is `<<`, in no quotes. */
export function isMergeKey(key: unknown): boolean {
  return isScalar(key) && key.type === "PLAIN" && key.source === "<<";
}

/** True for `key:` without a value: then the key is the better place to point at. */
function isEmpty(node: Node | null): boolean {
  return node === null || (isScalar(node) && node.value === null && (node.source ?? "") === "");
}

/** How a YAML scalar is written; a subset of the `yaml` library's names. */
type ScalarStyle = "PLAIN" | "QUOTE_SINGLE" | "QUOTE_DOUBLE" | "BLOCK_LITERAL" | "BLOCK_FOLDED";

/**
 * Finds the source position of a character of a scalar's value. YAML changes only whitespace and escapes between the two,
 * so the n-th visible character of one is the n-th of the other; that holds for every style, folded or not.
 *
 * @param source the scalar as written, quotes and block header included
 * @param offset counts UTF-16 units in the value
 * @returns an offset in the source
 */
function sourceOffset(source: string, style: ScalarStyle, value: string, offset: number): number {
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
