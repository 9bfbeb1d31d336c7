import { type Json, TerminalError } from "whenthen";

/** The fields that a task can be given, as they are. */
const PLAIN = [
  "name",
  "notes",
  "html_notes",
  "completed",
  "due_on",
  "due_at",
  "start_on",
  "start_at",
  "approval_status",
];

/**
 * What Asana takes for a merge patch of a task: `assignee` by its id, `custom_fields` as values by id.
 * @throws TerminalError for what no update can change
 */
export function readPatch(patch: Record<string, Json>): Record<string, Json> {
  return Object.fromEntries(Object.entries(patch).map(([name, value]) => [name, readField(name, value)]));
}

function readField(name: string, value: Json): Json {
  if (PLAIN.includes(name)) return value;
  if (name === "assignee") return isObject(value) ? value.gid : value;
  if (name === "custom_fields" && isObject(value)) return value;
  throw new TerminalError(`Cannot update "${name}" of a task: ${hintOf(name)}`);
}

function hintOf(name: string): string {
  if (name === "custom_fields") return 'expected values by the field\'s id, such as { "1201": "high" }';
  if (name === "memberships") return 'call the action "move"';
  return `expected one of ${[...PLAIN, "assignee", "custom_fields"].join(", ")}`;
}

function isObject(value: Json): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
