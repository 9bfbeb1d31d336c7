import { createHash } from "node:crypto";
import { posix } from "node:path";
import { writeExactJson } from "../formats/exact_json.ts";
import { asJson, type JsonObject } from "../model/json.ts";
import type { Command, Rule } from "../model/rule.ts";
import type { FieldProblem } from "../language/fields/check_values.ts";
import { checkSet } from "./check_set.ts";

const HOUR = 3_600_000;
/** The id of the rule's only step. */
const STEP = "command";

/** An unchanged command keeps its rule. */
const known = new WeakMap<Command, Rule>();

/**
 * The rule by which a person starts a command. It has the id of the command, because rules and commands share one space of
 * ids. The data of its event are the values, in the order in which they were given, which is the order in argv.
 */
export function commandRule(command: Command): Rule {
  let rule = known.get(command);
  if (rule === undefined) known.set(command, rule = ruleFor(command));
  return rule;
}

/** The rules that start these commands, by id. */
export function commandRules(commands: Iterable<Command>): Map<string, Rule> {
  return new Map([...commands].map((command) => [command.id, commandRule(command)]));
}

/** The command of a rule that {@link commandRule} made; undefined for rules from files of rules. */
export function commandOfRule({ command, commands = {} }: Rule): Command | undefined {
  return command === undefined ? undefined : commands[command];
}

/** What is wrong with the values given to start a command. */
export function problemsOfStart(command: Command, values: JsonObject): FieldProblem[] {
  return checkSet(command, Object.entries(values)).problems;
}

function ruleFor(command: Command): Rule {
  const { id, name, file, at } = command;
  const whole: Omit<Rule, "version"> = {
    id,
    ...name !== undefined && { name },
    file,
    language: "yaml",
    enabled: true,
    triggers: [{ id: "manual", kind: "manual", at, args: { manual: true } }],
    mode: "parallel",
    max: 10,
    timeout: HOUR,
    limit: null,
    onError: [],
    then: [{
      id: STEP,
      kind: "call",
      at,
      timeout: HOUR,
      // Its values are the data of the event.
      args: { call: `./${posix.basename(file)}` },
      children: {},
    }],
    config: {},
    actions: {},
    commands: { [file]: command },
    command: file,
    modules: {},
  };
  const version = createHash("sha256").update(writeExactJson(asJson(whole))).digest("hex");
  return { ...whole, version: version.slice(0, 16) };
}
