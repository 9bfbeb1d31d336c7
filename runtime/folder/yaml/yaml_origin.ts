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
import type { Position } from "../../model/problem.ts";
import type { Origin } from "../../language/checker/origin.ts";
import { type ScalarStyle, sourceOffset } from "./scalar_offsets.ts";

/** The parsed form of a text, many times as large. */
export interface YamlTree {
  document: Document.Parsed;
  lines: LineCounter;
  /** Values that were read again as text because YAML took them for something else; see `yaml_traps.ts`. */
  reread: ReadonlyMap<Scalar, number>;
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
      const step = enter(node instanceof Alias ? node.resolve(this.#tree.document) ?? null : node, name);
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
      const step = enter(node instanceof Alias ? node.resolve(this.#tree.document) ?? null : node, name);
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
function enter(node: Node | null, name: string | number): [key: Node | null, value: Node | null] | undefined {
  if (isMap(node)) {
    const pair = (node.items as Pair<Node, Node | null>[]).find(({ key }) =>
      isScalar(key) && String(key.value) === String(name)
    );
    return pair && [pair.key, pair.value];
  }
  if (isSeq(node) && typeof name === "number" && name < node.items.length) {
    const item = node.items[name];
    return [null, isNode(item) ? item : null];
  }
  return undefined;
}

/** True for `key:` without a value: then the key is the better place to point at. */
function isEmpty(node: Node | null): boolean {
  return node === null || (isScalar(node) && node.value === null && (node.source ?? "") === "");
}
