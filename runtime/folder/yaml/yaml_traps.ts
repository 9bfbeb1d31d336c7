import {
  Alias,
  type CST,
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  Scalar,
  visit,
} from "yaml";
import { type Finding, quoted } from "./yaml_syntax.ts";

/** What YAML accepts but reads differently than intended. */
export interface Traps {
  findings: Finding[];
  /** Values that got their intended text back, with the offset where it begins. */
  reread: Map<Scalar, number>;
}

/**
 * Finds tags (`if: !x`), aliases, comments instead of values (`channel: #deals`), numbers that lose digits. Values read as
 * a tag, alias or comment get their text back, so that the checker does not report them again.
 */
export function findTraps(document: Document.Parsed, text: string): Traps {
  const traps: Traps = { findings: [], reread: new Map() };
  visit(document, {
    Map(_, map) {
      for (const pair of map.items as Pair<Node, Node | null>[]) {
        const { start, sep = [] } = pair.srcToken ?? { start: [] };
        const key = isScalar(pair.key) ? String(pair.key.value) : undefined;
        tagged(start, pair.key, undefined);
        tagged(sep, pair.value, key);
        if (key === "<<") mergeKey(pair.key);
        swallowed(pair, sep, key);
      }
    },
    Seq(_, seq) {
      const token = seq.srcToken as CST.BlockSequence | CST.FlowCollection | undefined;
      const items = token?.items.filter((item) => item.value || item.start.some(beginsItem)) ?? [];
      if (items.length !== seq.items.length) return;
      for (const [index, item] of seq.items.entries()) if (isNode(item)) tagged(items[index].start, item, undefined);
    },
    Scalar(_, scalar) {
      numeric(scalar);
      commented(scalar);
    },
    Alias(key, alias) {
      return key === "key" ? undefined : dangling(alias);
    },
  });
  return traps;

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

  function mergeKey(key: Node): void {
    const [from, to] = key.range!;
    traps.findings.push({ from, to, message: '"<<" is not part of YAML 1.2', hint: "write the keys out" });
  }

  /** An alias of nothing, or of a value that contains it. */
  function dangling(alias: Alias): Scalar | undefined {
    const [from, to] = alias.range!;
    const anchor = alias.resolve(document);
    const cyclic = anchor?.range && anchor.range[0] <= from && from < anchor.range[1] &&
      (isMap(anchor) || isSeq(anchor));
    if (anchor && !cyclic) return undefined;
    const value = text.slice(from, to);
    const message = cyclic
      ? `"${value}" refers to a value that contains it`
      : `"${value}" reads as a YAML alias of an anchor that does not exist`;
    traps.findings.push({ from, to, message, hint: cyclic ? "write the value out" : `quote it: ${quoted(value)}` });
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
