import { type Document, isAlias, isMap, isNode, isSeq, type Node } from "yaml";
import { isMergeKey, type YamlTree } from "./yaml_origin.ts";
import type { Finding } from "./yaml_syntax.ts";

/** Values of a file, those behind aliases at each place; more would keep the checker busy for seconds. */
const MAX_VALUES = 1_000_000;
/** Values of all blocks that are merged into others: each of them is copied. */
const MAX_MERGED = 100_000;
/** The library looks each alias up in the list of all anchors and aliases before it: about 10,000 aliases of a few anchors. */
const MAX_LOOKUPS = 60_000_000;

/** Finds the place where aliases and merged blocks exceed the number of values that a file may have. Expands nothing. */
export function findExcess(document: Document.Parsed, anchors: YamlTree["anchors"]): Finding | undefined {
  const sizes = new Map<Node, number>();
  let listed = 0;
  let lookups = 0;
  let aliased = 0;
  let merged = 0;
  let excess: Finding | undefined;
  sizeOf(document.contents, false);
  return excess;

  /** The anchor of an alias comes before it, so its size is known. */
  function sizeOf(node: unknown, isMerged: boolean): number {
    if (!isNode(node)) return 1;
    let size = 1;
    if (isAlias(node)) {
      size = sizes.get(anchors.get(node)!) ?? 1;
      aliased += size;
      lookups += ++listed;
    } else {
      if (isMap(node)) { for (const { key, value } of node.items) size += sizeOf(value, isMergeKey(key)); }
      if (isSeq(node)) { for (const item of node.items) size += sizeOf(item, isMerged); }
      if (node.anchor !== undefined) {
        sizes.set(node, size);
        listed++;
      }
    }
    if (isMerged && !isSeq(node)) merged += size;
    excess ??= explain(node);
    return size;
  }

  function explain(node: Node): Finding | undefined {
    const message = lookups > MAX_LOOKUPS
      ? "too many aliases and anchors"
      : aliased > MAX_VALUES
      ? `aliases may stand for ${MAX_VALUES} values`
      : merged > MAX_MERGED
      ? `merged blocks may have ${MAX_MERGED} values`
      : undefined;
    if (message === undefined) return undefined;
    const [from, to] = node.range!;
    return { from, to: isAlias(node) ? to : from + 1, message, hint: "use fewer aliases, or split the file" };
  }
}
