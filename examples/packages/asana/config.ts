import { type Json, source } from "whenthen";
import { address, type Api, part, readAll } from "./api.ts";

const FIELDS = ["name", "notes", "completed", "num_subtasks", "modified_at"];
/** Asana has at most five levels of subtasks. */
const DEEPEST = 5;

/** A subtask as it is read. */
interface Entry {
  gid: string;
  name: string;
  notes: string;
  completed: boolean;
  num_subtasks: number;
  modified_at: string;
}

/** One value of a config. */
export interface Setting {
  name: string;
  /** Text as somebody wrote it, or lists and objects of such. */
  value: Json;
  /** For `config` in `whenthen.yaml`: the rule, and its values by key. */
  rule: string;
  values: Json;
  gid: string;
  at: string;
}

/**
 * The config that people keep in the subtasks of a task, in their order: `name: value`, or a name with the value in its notes, or with
 * subtasks of its own as a list or an object. A completed one is off, and one with nothing but a name is `true`.
 */
export const config = source({
  inputs: {
    task: { type: "text", min: 1, help: "The id of the task" },
    rule: {
      type: "text",
      required: false,
      help: "The rule whose config it is; else each subtask is named after a rule",
    },
    ...address,
  },
  key: "item.name",
  ignore: ["gid", "at", "rule", "values"],
  read: async ({ inputs, ...scope }) => {
    const entries = await subtasksOf({ ...scope, inputs }, inputs.task);
    const items: Setting[] = [];
    for (const entry of entries) {
      const { name } = split(entry);
      const value = await valueOf({ ...scope, inputs }, entry, 1);
      const values = inputs.rule === null ? value : { [name]: value };
      items.push({ name, value, rule: inputs.rule ?? name, values, gid: entry.gid, at: entry.modified_at });
    }
    return { items, complete: true };
  },
});

/** Without those that are off. */
async function subtasksOf(api: Api, task: string): Promise<Entry[]> {
  const entries = await readAll<Entry>(api, `/tasks/${part(task)}/subtasks`, { fields: FIELDS });
  return entries.filter(({ completed, name }) => !completed && name.trim() !== "");
}

/** `name: value`; a colon within a word, as in an address, is part of it. */
function split({ name: text }: Entry): { name: string; value?: string } {
  const [, name, value = ""] = /^([^:]*\S)\s*:(?:\s+(.*))?$/s.exec(text.trim()) ?? [];
  if (name === undefined) return { name: text.trim() };
  return value === "" ? { name } : { name, value: value.trim() };
}

/** Whether it is `name: value`, `name:`, or a name with subtasks. */
function isNamed(entry: Entry): boolean {
  return entry.num_subtasks > 0 || entry.notes !== "" || split(entry).name !== entry.name.trim();
}

async function valueOf(api: Api, entry: Entry, depth: number): Promise<Json> {
  const { value } = split(entry);
  if (entry.num_subtasks > 0 && depth < DEEPEST) return await childrenOf(api, entry, depth + 1);
  if (value !== undefined) return value;
  if (entry.notes.trim() !== "") return entry.notes.trim();
  return isNamed(entry) ? "" : "true";
}

/** An object if each child has a name, else a list of texts. */
async function childrenOf(api: Api, { gid }: Entry, depth: number): Promise<Json> {
  const children = await subtasksOf(api, gid);
  if (children.length === 0 || !children.every(isNamed)) return children.map(({ name }) => name.trim());
  const values: [string, Json][] = [];
  for (const child of children) values.push([split(child).name, await valueOf(api, child, depth)]);
  return Object.fromEntries(values);
}
