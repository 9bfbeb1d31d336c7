import { existsSync, statSync } from "node:fs";
import { dirname, extname, join, relative, resolve } from "node:path";
import { isProgram } from "../actions/call.ts";
import { type CodeLiteral, literalsInCode } from "../folder/typescript/code_literals.ts";
import type { Loaded } from "../folder/loaded.ts";
import type { LoadedTypeScript } from "../folder/typescript/typescript.ts";
import { hasTemplate } from "../language/arg_types.ts";
import { faultOfMethod } from "../language/hints.ts";
import { stepsIn } from "../language/expressions/check_expression.ts";
import type { Origin } from "../language/checker/checking.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Position, Problem } from "../model/problem.ts";
import type { Rule } from "../model/rule.ts";
import { readPattern } from "../triggers/watch_files.ts";

/** What is checked besides the loaded rules. */
export interface Outside {
  /** The rules folder, absolute. */
  folder: string;
  /** The variable of the environment in which programs are looked up. */
  path?: string;
  typescript: ReadonlyMap<string, LoadedTypeScript>;
  /** Knows the positions of a rule file's parts. */
  originOf(file: string): Origin | undefined;
}

type Found = Omit<Problem, "severity">;

/**
 * Warns about what a load does not look at: programs and folders that do not exist here, and literals in the functions of
 * TypeScript files. The machine that runs the rules may have what this one lacks, so these are no errors.
 */
export function checkOutside(loaded: Pick<Loaded, "rules" | "commands">, outside: Outside): Problem[] {
  const rules = [...loaded.rules.values()];
  const actions = new Map(rules.flatMap((rule) => Object.entries(rule.actions)));
  const found: Found[] = [
    ...rules.flatMap((rule) => [...inTriggers(rule, outside), ...inSteps(rule.file, rule, outside)]),
    ...[...actions].flatMap(([file, action]) => inSteps(file, action, outside)),
    ...[...outside.typescript].flatMap(([file, loaded]) => inCode(file, loaded, outside)),
    ...[...loaded.commands.values()].flatMap(({ file, at, program }): Found[] => {
      const lookedUp = program.includes("/") ? resolve(outside.folder, program) : program;
      return missing(lookedUp, program, outside).map((problem) => ({ file, at, ...problem }));
    }),
  ];
  return found.map((problem) => ({ severity: "warning", ...problem }));
}

function inTriggers({ file, triggers }: Rule, outside: Outside): Found[] {
  const origin = outside.originOf(file);
  return triggers.flatMap(({ kind, args, at }, index) => {
    const place = (key: string) => origin === undefined ? at : positionOf(origin, index, key);
    if (kind === "watch") {
      return missingFolder(String(args.watch), dirname(join(outside.folder, file))).map((problem) => {
        return { file, at: place("watch"), ...problem };
      });
    }
    if (kind !== "poll" || !isObject(args.poll)) return [];
    return missingProgram(args.poll, file, outside).map((problem) => ({ file, at: place("poll"), ...problem }));
  });
}

/** The position of a trigger's main argument; `when` is one trigger or a list. */
function positionOf(origin: Origin, index: number, key: string): Position {
  const [first, ...others] = [["when", index, key], ["when", key]].map((path) => origin.at(path, "value"));
  // A path that does not exist has the position of its nearest parent.
  const parent = origin.at(["when"], "value");
  return first.line === parent.line && first.column === parent.column ? others[0] : first;
}

function inSteps(file: string, part: Parameters<typeof stepsIn>[0], outside: Outside): Found[] {
  return stepsIn(part).filter(({ kind }) => kind === "run").flatMap(({ args, at }) => {
    return missingProgram(args, file, outside).map((problem) => ({ file, at, ...problem }));
  });
}

function inCode(file: string, loaded: LoadedTypeScript, outside: Outside): Found[] {
  if (loaded.kind === "problems") return [];
  return literalsInCode(loaded.code, file).flatMap((literal) => {
    return faultsOfLiteral(literal, file, outside).map((fault) => ({ file, at: literal.at, ...fault }));
  });
}

interface Fault {
  message: string;
  hint: string;
}

function faultsOfLiteral(literal: CodeLiteral, file: string, outside: Outside): Fault[] {
  switch (literal.kind) {
    case "braces": {
      const { text, expression } = literal;
      return [{ message: `${text} is plain text`, hint: `use a template literal: \`\${${expression}}\`` }];
    }
    case "http": {
      const fault = faultOfMethod(literal.text);
      return fault === undefined ? [] : [{ message: fault.message, hint: fault.hint }];
    }
    case "run":
      return missingProgram({ run: literal.command }, file, outside);
  }
}

/** Whether the program of a `run` exists, as far as that is known before its templates are resolved. */
function missingProgram({ run, cwd = ".", env }: JsonObject, file: string, outside: Outside): Fault[] {
  if (isObject(env) && "PATH" in env) return [];
  const ruleFolder = join(outside.folder, dirname(file));
  return programsOf(run).filter((program) => !hasTemplate(program)).flatMap((program) => {
    const isOfFolder = program.includes("/") && (typeof run === "string" || !/^\.\.?\//.test(program));
    if (isOfFolder && (typeof cwd !== "string" || hasTemplate(cwd))) return [];
    const base = isOfFolder ? resolve(ruleFolder, String(cwd)) : ruleFolder;
    return missing(program.includes("/") ? resolve(base, program) : program, program, outside);
  });
}

function missing(lookedUp: string, written: string, { path, folder }: Outside): Fault[] {
  if (isProgram(lookedUp, path)) return [];
  if (!lookedUp.includes("/")) {
    return [{
      message: `there is no program ${JSON.stringify(written)} in PATH`,
      hint: "install it where the rules run, or correct its name",
    }];
  }
  const shown = relative(folder, lookedUp);
  if (existsSync(lookedUp)) {
    return [{ message: `${JSON.stringify(written)} is not executable`, hint: `chmod +x ${shown}` }];
  }
  return [{
    message: `there is no program ${JSON.stringify(written)}`,
    hint: `it is looked up at ${shown.startsWith("..") ? lookedUp : `${shown} in the rules folder`}`,
  }];
}

/** Words that the shell knows itself, and those after which a command follows. */
const SHELL_WORDS = new Set(
  (". : [ alias bg break case cd command continue echo eval exec exit export false fg for getopts hash if jobs kill " +
    "local printf pwd read readonly return set shift test time times trap true type ulimit umask unalias unset until " +
    "wait while").split(" "),
);

/** The programs that a command starts, if they are certain: those of a list, and of a shell command that is plain words. */
function programsOf(run: Json | undefined): string[] {
  if (Array.isArray(run)) return typeof run[0] === "string" ? [run[0]] : [];
  if (typeof run !== "string") return [];
  const isPlain = /^[\w\s./:@%+,=|&;-]*$/.test(run);
  const commands = isPlain ? run.split(/\|\||&&|[|;&\n]/) : [run];
  return commands.map((command) => /^\s*([\w./+-]+)(?=\s|$)/.exec(command)?.[1])
    .filter((word) => word !== undefined && !SHELL_WORDS.has(word)) as string[];
}

/** A pattern of a folder that does not exist; of a single file, the folder that it would be in. */
function missingFolder(pattern: string, ruleFolder: string): Fault[] {
  const { base } = readPattern(pattern, ruleFolder);
  const isFile = resolve(ruleFolder, pattern) === base && extname(base) !== "" && !pattern.endsWith("/");
  const folder = isFile ? dirname(base) : base;
  const facts = statSync(folder, { throwIfNoEntry: false });
  if (facts !== undefined) return [];
  const message = `there is no folder ${folder}, so nothing is watched until it is made`;
  return [{ message, hint: "make it, or correct the path: it is relative to the file of the rule" }];
}
