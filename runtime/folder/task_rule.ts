import type { Fleet, FleetTask, Recipients } from "../model/fleet.ts";
import type { JsonObject } from "../model/json.ts";
import type { Rule, Step } from "../model/rule.ts";
import { versionOfData } from "./source_file.ts";

const DAY = 86_400_000;
/** The step that sends the task. */
export const TASK_STEP = "task";

/** The data of the event that sends a task by hand. */
export interface TaskByHand {
  /** One device is a list, too, so that the result has one shape. */
  to: Recipients;
  /** All inputs of the task; null for what is not set. */
  inputs: JsonObject;
  /** The most devices at once. */
  max: number;
  /** Of each device, such as `30s`. */
  timeout: string;
}

/** The id of the rule that sends a task by hand. A file with such an id does not load. */
export function taskRuleId(fleet: string, task: string): string {
  return `${fleet}:${task}`;
}

/** An unchanged fleet keeps its rules. */
const known = new WeakMap<Fleet, Rule[]>();

/** The rules that send the tasks of fleets by hand, by id: what somebody sends is a run, as all others. */
export function taskRules(fleets: Iterable<Fleet>): Map<string, Rule> {
  return new Map([...fleets].flatMap((fleet) => rulesFor(fleet).map((rule): [string, Rule] => [rule.id, rule])));
}

function rulesFor(fleet: Fleet): Rule[] {
  let rules = known.get(fleet);
  if (rules === undefined) known.set(fleet, rules = Object.values(fleet.tasks).map((task) => ruleFor(fleet, task)));
  return rules;
}

function ruleFor({ id, file, at }: Fleet, { name, title, inputs, to }: FleetTask): Rule {
  const step = (kind: string, args: JsonObject): Step => ({ id: kind, kind, at, timeout: DAY, args, children: {} });
  const given = Object.keys(inputs).map((key) => [key, `\${{ event.data.inputs[${JSON.stringify(key)}] }}`]);
  const args = {
    task: name,
    fleet: id,
    to: "${{ event.data.to }}",
    with: Object.fromEntries(given),
    max: "${{ event.data.max }}",
    timeout: "${{ event.data.timeout }}",
  };
  const failed = 'string(steps.task.failed) + " of " + string(steps.task.total) + " devices failed"';
  // The step itself fails if the order cannot be sent at all.
  const reason = `\${{ steps.task == null ? errors.task.message : ${failed} }}`;
  const whole: Omit<Rule, "version"> = {
    id: taskRuleId(id, name),
    ...title !== undefined && { name: title },
    file,
    language: "yaml",
    enabled: true,
    triggers: [{ id: "manual", kind: "manual", at, args: { manual: true, ...to && { to } } }],
    mode: "parallel",
    max: 100,
    timeout: DAY,
    limit: null,
    onError: [],
    then: [
      { ...step(TASK_STEP, args), onError: "continue" },
      { ...step("stop", { stop: reason, as: "failed" }), if: "steps.task == null || steps.task.failed > 0" },
    ],
    config: {},
    actions: {},
    modules: {},
    fleet: id,
  };
  return { ...whole, version: versionOfData(whole) };
}
