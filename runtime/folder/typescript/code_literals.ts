import type { CallExpression, Expression, Node, SpreadElement } from "acorn";
import { plainBraces } from "../../language/expressions/template.ts";
import type { Position } from "../../model/problem.ts";
import { UserCode } from "../../workers/user_code.ts";
import { parseModule } from "./acorn.cjs";

/** Something that the code of a rule has as a literal, with its place in the file. */
export type CodeLiteral =
  /** An expression of YAML without its `$`. */
  | { kind: "braces"; text: string; expression: string; at: Position }
  /** The request of `step.http(name, "METHOD URL")`. */
  | { kind: "http"; text: string; at: Position }
  /** The command of `step.run(name, [program, …])` or `step.run(name, "shell command")`. */
  | { kind: "run"; command: string | [program: string]; at: Position };

/**
 * Finds literals in the functions of a TypeScript file. Its steps are unknown before it runs, but what it passes to them as a
 * literal can be checked.
 * @param bundle with its source map
 * @param file what other files of the bundle have is left out
 */
export function literalsInCode(bundle: string, file: string): CodeLiteral[] {
  const code = new UserCode(bundle);
  const found: CodeLiteral[] = [];
  const placeOf = ({ loc }: Node, offset: number, length: number): Position | undefined => {
    const place = loc && code.placeOf(loc.start.line, loc.start.column + 1);
    return place?.file === file ? { line: place.line, column: place.column + offset, length } : undefined;
  };
  const add = (node: Node, make: (at: Position) => CodeLiteral, offset = 0, length = node.end - node.start) => {
    const at = placeOf(node, offset, length);
    if (at !== undefined) found.push(make(at));
  };
  visitFunctions(parseModule(bundle), (node) => {
    const text = textOf(node);
    for (const { expression, offset, length } of text === undefined ? [] : plainBraces(text)) {
      add(
        node,
        (at) => ({ kind: "braces", text: text!.slice(offset, offset + length), expression, at }),
        offset + 1,
        length,
      );
    }
    const call = stepCall(node);
    if (call === undefined) return;
    const [, argument] = call.args;
    const literal = argument && textOf(argument);
    if (literal !== undefined && call.kind === "http") {
      add(argument, (at) => ({ kind: "http", text: literal, at }), 1, /^\w*/.exec(literal)![0].length);
    } else if (call.kind === "run" && argument) {
      const command = commandOf(argument);
      if (command !== undefined) add(argument, (at) => ({ kind: "run", command, at }));
    }
  });
  return found;
}

/** Calls `on` with each node in the functions of a syntax tree: what is outside of them is declared, and checked as such. */
function visitFunctions(value: unknown, on: (node: Node) => void, isInside = false): void {
  if (Array.isArray(value)) return value.forEach((item) => visitFunctions(item, on, isInside));
  if (typeof value !== "object" || value === null) return;
  const isNode = "type" in value && "start" in value;
  if (isNode && isInside) on(value as Node);
  const isFunction = isNode && /Function/.test(String(value.type));
  for (const [key, part] of Object.entries(value)) if (key !== "loc") visitFunctions(part, on, isInside || isFunction);
}

function textOf(node: Node): string | undefined {
  const { type, value } = node as Expression & { value?: unknown };
  return type === "Literal" && typeof value === "string" ? value : undefined;
}

/** `step.http(…)` and `step.run(…)`, whatever the variable is called. */
function stepCall(node: Node): { kind: "http" | "run"; args: (Expression | SpreadElement)[] } | undefined {
  if (node.type !== "CallExpression") return undefined;
  const { callee, arguments: args } = node as CallExpression;
  if (callee.type !== "MemberExpression" || callee.computed || callee.property.type !== "Identifier") return undefined;
  const { name } = callee.property;
  const isStep = callee.object.type === "Identifier" && /^step\d*$/.test(callee.object.name);
  return isStep && (name === "http" || name === "run") ? { kind: name, args } : undefined;
}

function commandOf(argument: Node): string | [string] | undefined {
  const text = textOf(argument);
  if (text !== undefined || argument.type !== "ArrayExpression") return text;
  const [program] = (argument as Expression & { elements: (Expression | null)[] }).elements;
  const name = program ? textOf(program) : undefined;
  return name === undefined ? undefined : [name];
}
