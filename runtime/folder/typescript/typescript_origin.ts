import type { Expression, ObjectExpression, Program, Property } from "acorn";
import type { Origin } from "../../language/checker/checking.ts";
import type { Position } from "../../model/problem.ts";
import { UserCode } from "../../workers/user_code.ts";
import { parseModule } from "./acorn.cjs";

/** A value in the bundle with its name: a property's key, or the function of a trigger. */
interface Found {
  key?: Expression | Property["key"];
  value: Expression;
}

/**
 * The positions of a declaration's parts in a TypeScript file. Evaluation loses them, so they are looked up in the syntax tree of the bundle,
 * and its source map gives those in the file. A computed value has the position of the nearest literal around it.
 */
export class TypeScriptOrigin implements Origin {
  readonly language = "typescript";
  readonly #code: UserCode;
  readonly #tree: Tree | undefined;

  /**
   * @param bundle with its source map
   * @param rule the position of the `rule(` call
   */
  constructor(readonly file: string, private readonly bundle: string, private readonly rule: Position) {
    this.#code = new UserCode(bundle);
    this.#tree = treeOf(bundle);
  }

  at(path: (string | number)[], part: "key" | "value"): Position {
    const found = this.#tree?.find(path);
    const node = part === "key" ? found?.key ?? found?.value : found?.value;
    return (node && this.#position(node, node.end - node.start)) ?? this.rule;
  }

  within(path: (string | number)[], offset: number, length: number): Position {
    const found = this.#tree?.find(path);
    if (found?.depth !== path.length) return this.at(path, "value");
    const { value } = found;
    // Escapes shift what follows them.
    const isPlain = value.type === "Literal" && value.raw?.slice(1, -1) === value.value;
    if (!isPlain) return this.at(path, "value");
    const at = this.#position(value, length);
    return at === undefined ? this.rule : { ...at, column: at.column + 1 + offset };
  }

  #position({ loc, start }: Expression | Property["key"], length: number): Position | undefined {
    const place = loc && this.#code.placeOf(loc.start.line, loc.start.column + 1);
    if (!place || place.file !== this.file) return undefined;
    const end = this.bundle.indexOf("\n", start);
    return { line: place.line, column: place.column, length: Math.max(1, Math.min(length, end - start)) };
  }
}

/** The declaration of a rule in the syntax tree of a bundle. */
class Tree {
  readonly #names: Map<string, Expression>;

  /** @param names the values of the module's variables */
  constructor(names: Map<string, Expression>, private readonly spec: Expression) {
    this.#names = names;
  }

  /** The part at a path, or its nearest parent; `depth` is how much of the path it is. */
  find(path: (string | number)[]): Found & { depth: number } {
    let found: Found & { depth: number } = { value: this.spec, depth: 0 };
    for (const [index, name] of path.entries()) {
      const next = this.#enter(found.value, name);
      if (next === undefined) return found;
      found = { ...next, depth: index + 1 };
    }
    return found;
  }

  #enter(given: Expression, name: string | number): Found | undefined {
    const node = this.#resolve(given);
    if (node.type === "ArrayExpression" && typeof name === "number") {
      const value = node.elements[name];
      return value && value.type !== "SpreadElement" ? { value } : undefined;
    }
    if (node.type === "ObjectExpression") return this.#property(node, String(name));
    if (node.type !== "CallExpression") return undefined;
    // `every("5m", { missed })` is `{ every: "5m", missed }`.
    const args = node.arguments.filter((argument) => argument.type !== "SpreadElement");
    if (node.callee.type === "Identifier" && node.callee.name === name && args.length > 0) {
      return { key: node.callee, value: args[0] };
    }
    return args.map((argument) => this.#enter(argument, name)).find((found) => found !== undefined);
  }

  #property(node: ObjectExpression, name: string): Found | undefined {
    // The last one counts.
    for (const property of node.properties.toReversed()) {
      if (property.type === "SpreadElement") {
        const found = this.#enter(property.argument, name);
        if (found !== undefined) return found;
      } else if (!property.computed && nameOf(property) === name) return { key: property.key, value: property.value };
    }
  }

  #resolve(node: Expression): Expression {
    const seen = new Set<Expression>();
    for (let next: Expression | undefined = node; next !== undefined && !seen.has(next);) {
      seen.add(next);
      node = next;
      next = node.type === "Identifier" ? this.#names.get(node.name) : undefined;
    }
    return node;
  }
}

function nameOf({ key }: Property): string | undefined {
  return key.type === "Identifier" ? key.name : key.type === "Literal" ? String(key.value) : undefined;
}

/** Undefined if the rule is not declared by a call in the file that can be found. */
function treeOf(bundle: string): Tree | undefined {
  let program: Program;
  try {
    program = parseModule(bundle);
  } catch {
    return undefined;
  }
  const names = new Map<string, Expression>();
  let exported: string | undefined;
  for (const node of program.body) {
    if (node.type === "VariableDeclaration") {
      for (const { id, init } of node.declarations) if (id.type === "Identifier" && init) names.set(id.name, init);
    } else if (node.type === "ExportNamedDeclaration") {
      const found = node.specifiers.find(({ exported }) =>
        exported.type === "Identifier" && exported.name === "default"
      );
      if (found?.local.type === "Identifier") exported = found.local.name;
    }
  }
  let rule = exported === undefined ? undefined : names.get(exported);
  for (let steps = 0; rule?.type === "Identifier" && steps < 10; steps++) rule = names.get(rule.name);
  const [spec] = rule?.type === "CallExpression" ? rule.arguments : [];
  return spec === undefined || spec.type === "SpreadElement" ? undefined : new Tree(names, spec);
}
