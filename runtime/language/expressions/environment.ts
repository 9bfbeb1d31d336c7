import { type ASTNode, Environment } from "@marcbachmann/cel-js";
import { countTurn } from "./meter.ts";
import { addFunctions, addMixedArithmetic, REPLACED } from "./functions.ts";
import { childrenOf } from "./references.ts";

/** Codes of errors which mean that a value in the expression does not exist. */
export const ABSENT = new Set(["no_such_key", "index_out_of_bounds", "unknown_variable"]);

/** The parts of the evaluator that a macro receives; the library has no types for them. */
interface Evaluator {
  run(node: ASTNode, context: unknown): unknown;
}
interface Checker {
  check(node: ASTNode, context: unknown): unknown;
  getType(name: string): unknown;
}
interface DefaultMacro {
  args: ASTNode[];
}

/** A node. Nodes of `map`, `filter`, `exists` and `all` also have their expansion to a loop. */
interface Expanded {
  meta: {
    alternate?: { op: string; args: { condition?: (result: unknown) => boolean } };
  };
}

let currentTime = 0;

/** Runs `use` while `now()` returns `time`. Evaluation is synchronous, so no other evaluation can run in between. */
export function atTime<T>(time: number, use: () => T): T {
  currentTime = time;
  return use();
}

/** Parses with all the functions and operators of the rule language. */
export function parseExpression(text: string): ReturnType<Environment["parse"]> {
  const parsed = environment.parse(text);
  prepare(parsed.ast);
  return parsed;
}

/** Names of all functions and methods, for hints. */
export function functionNames(): string[] {
  const names = environment.getDefinitions().functions.map(({ name }) => name);
  return [...new Set(names)].filter((name) => /^[a-z]/i.test(name)).concat(Object.keys(REPLACED));
}

const environment = makeEnvironment();

function makeEnvironment(): Environment {
  const made = new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false });
  addFunctions(made, () => currentTime);
  made.registerFunction("default(ast, ast): dyn", ({ args }: DefaultMacro) => ({
    args,
    async: false,
    typeCheck(checker: Checker, macro: DefaultMacro, context: unknown) {
      for (const arg of macro.args) checker.check(arg, context);
      return checker.getType("dyn");
    },
    evaluate(evaluator: Evaluator, macro: DefaultMacro, context: unknown) {
      const [wanted, otherwise] = macro.args;
      try {
        const value = evaluator.run(wanted, context);
        if (value !== null) return value;
      } catch (error) {
        if (!ABSENT.has((error as { code?: string }).code ?? "")) throw error;
      }
      return evaluator.run(otherwise, context);
    },
  }));
  addMixedArithmetic(made);
  return made;
}

/**
 * Replaces CEL's own functions by ours of the same name, limits loops, and lets the branches of `? :` differ in type.
 */
function prepare(node: ASTNode): void {
  const { alternate } = (node as unknown as Expanded).meta;
  if (alternate?.op === "comprehension") {
    const { condition } = alternate.args;
    alternate.args.condition = (result) => {
      countTurn();
      return condition?.(result) ?? true;
    };
  }
  if (node.op === "call" || node.op === "rcall") {
    const args = node.args as unknown as [string];
    if (Object.hasOwn(REPLACED, args[0])) args[0] = REPLACED[args[0]];
  }
  for (const child of childrenOf(node)) prepare(child);
  if (node.op === "?:") {
    const args = node.args as ASTNode[];
    args[1] = asDynamic(args[1]);
    args[2] = asDynamic(args[2]);
  }
}

function asDynamic(node: ASTNode): ASTNode {
  const wrapped = environment.parse("dyn(null)").ast;
  (wrapped.args as [string, ASTNode[]])[1] = [node];
  return wrapped;
}
