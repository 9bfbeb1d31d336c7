import type { ASTNode } from "@marcbachmann/cel-js";

/** One path that an expression reads: `event.data.new.used`. */
export interface Reference {
  /** Its names; `steps['a'].body` and `steps.a.body` give the same. Ends before the first computed index. */
  path: string[];
  offset: number;
  length: number;
}

/** Names that CEL itself defines: its types and namespaces. */
const CONSTANTS = new Set([
  "string",
  "bool",
  "int",
  "uint",
  "double",
  "map",
  "list",
  "bytes",
  "null_type",
  "type",
  "cel",
  "google",
]);

const MACROS = new Set(["all", "exists", "exists_one", "map", "filter"]);

/** All paths that start at a name of the scope; not variables of `map`, `filter` and similar macros. */
export function findReferences(root: ASTNode): Reference[] {
  const found: Reference[] = [];
  walk(root, new Set(), found);
  return found;
}

function walk(node: ASTNode, bound: Set<string>, found: Reference[]): void {
  const path = pathOf(node);
  if (path !== undefined) {
    if (bound.has(path[0]) || CONSTANTS.has(path[0])) return;
    found.push({ path, offset: node.start, length: node.end - node.start });
    return;
  }
  const variable = boundBy(node);
  const inner = variable === undefined ? bound : new Set([...bound, variable.args]);
  for (const child of childrenOf(node)) if (child !== variable) walk(child, inner, found);
}

/** The names of a path such as `a.b['c'][0]`; undefined for any other node. */
function pathOf(node: ASTNode): string[] | undefined {
  if (node.op === "id") return [node.args];
  if (node.op === ".") {
    const left = pathOf(node.args[0]);
    return left && [...left, node.args[1]];
  }
  if (node.op !== "[]" || node.args[1].op !== "value") return undefined;
  const left = pathOf(node.args[0]);
  return left && [...left, String(node.args[1].args)];
}

/** The variable node of `list.map(x, …)` or `cel.bind(x, …)`. */
function boundBy(node: ASTNode): Extract<ASTNode, { op: "id" }> | undefined {
  if (node.op !== "rcall") return undefined;
  const [name, receiver, args] = node.args;
  const binds = MACROS.has(name) || (name === "bind" && receiver.op === "id" && receiver.args === "cel");
  return binds && args[0]?.op === "id" ? args[0] : undefined;
}

/** Whether an expression calls a function. */
export function calls(node: ASTNode, name: string): boolean {
  return (node.op === "call" && node.args[0] === name) || childrenOf(node).some((child) => calls(child, name));
}

/** The direct children of a node. */
export function childrenOf(node: ASTNode): ASTNode[] {
  switch (node.op) {
    case "value":
    case "id":
      return [];
    case ".":
    case ".?":
      return [node.args[0]];
    case "call":
      return node.args[1];
    case "rcall":
      return [node.args[1], ...node.args[2]];
    case "map":
      return node.args.flat();
    case "!_":
    case "-_":
      return [node.args];
    default:
      return node.args;
  }
}

/** Formats a path as in an expression: `event.data.new`, `state["up/x"]`. */
export function formatPath(path: string[]): string {
  return path.map((name, index) => {
    if (index === 0) return name;
    if (/^\d+$/.test(name)) return `[${name}]`;
    return /^[A-Za-z_]\w*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
  }).join("");
}

/** The value at a path; undefined if there is none. Never reads from a prototype. */
export function lookUp(value: unknown, path: string[]): unknown {
  let at = value;
  for (const name of path) {
    if (at instanceof Map) at = at.get(name);
    else if (typeof at === "object" && at !== null && Object.hasOwn(at, name)) at = Reflect.get(at, name);
    else return undefined;
  }
  return at;
}
