import { CursorExpired, type Json, source, type SourcePage } from "whenthen";
import { address, type Api, idsOf, part, projectOf, readChanges, readEach, readOne, readPage, send } from "./api.ts";
import type { Task } from "./model.ts";
import { readPatch } from "./task_patch.ts";

/** What a task has if no fields are chosen, besides its name and when it was modified. */
const FIELDS = [
  "notes",
  "completed",
  "completed_at",
  "assignee.name",
  "due_on",
  "memberships.project.name",
  "memberships.section.name",
  "tags.name",
  "custom_fields.name",
  "custom_fields.display_value",
  "permalink_url",
] as const;
/** What every task has. */
const ALWAYS = ["name", "modified_at"];

const HOUR = 3_600_000;

const inputs = {
  project: { type: "text", required: false, help: "The id of a project: its tasks" },
  section: { type: "text", required: false, help: "The id of a section: its tasks" },
  tag: { type: "text", required: false, help: "The id of a tag: tasks of all projects" },
  oneOf: [["project", "section", "tag"]],
  membership: {
    type: "list",
    of: "text",
    default: [],
    help: "Ids of projects, sections and tags: only tasks that are in all of these, too",
  },
  completed: {
    type: "text",
    default: "open",
    pattern: "open|completed|all|\\d{4}-\\d{2}-\\d{2}(T.+)?",
    help: "open, completed, all, or a time such as 2026-11-01: those that are open or were completed since then",
  },
  fields: { type: "list", of: "text", default: [...FIELDS], help: "opt_fields of the API, such as assignee.name" },
  refresh: {
    type: "number",
    default: 24,
    min: 0,
    help: "Hours after which all tasks are read again, as Asana may lose an event",
  },
  ...address,
} as const;

interface Choice {
  project: string | null;
  section: string | null;
  tag: string | null;
  membership: readonly string[];
  completed: string;
  fields: readonly string[];
  refresh: number;
  url: string | null;
}

type Scope = Api & { inputs: Choice };

/** Where a read begins. */
interface Cursor {
  /** The project whose events are read, and from where. */
  resource: string;
  sync: string;
  /** When all tasks were read last; milliseconds. */
  read: number;
}

/** The second page of a full read, or a later one. */
interface PageCursor {
  offset: string;
  /** Where to begin after it; null for a tag, which has no events. */
  next: Cursor | null;
}

/**
 * The tasks of a project, a section or a tag. After the first look only tasks with events are read. A tag has no events, so all its
 * tasks are read each time.
 */
export const tasks = source({
  inputs,
  key: "item.gid",
  ignore: ["modified_at"],
  at: "item.modified_at",
  read: async ({ cursor, ...scope }): Promise<SourcePage<Task>> => {
    const known = cursor as unknown as Cursor | PageCursor | null;
    if (known !== null && "offset" in known) return await readTasks(scope, known);
    if (known === null || Date.now() - known.read >= scope.inputs.refresh * HOUR) return await readFirst(scope);
    return await readChanged(scope, known);
  },
  one: async ({ key, ...scope }): Promise<Task | null> => {
    const task = await readOne<Task>(scope, `/tasks/${part(key)}`, wanted(scope.inputs));
    return task !== null && belongs(task, scope.inputs) ? chosen(task, scope.inputs) : null;
  },
  update: async ({ key, patch, ...scope }): Promise<Task> => {
    const data = readPatch(patch as Record<string, Json>);
    const { body } = await send<Task>(scope, `PUT /tasks/${part(key)}`, { data, fields: wanted(scope.inputs) });
    return chosen(body.data, scope.inputs);
  },
});

/** A full read. The token comes first: what changes meanwhile is told by the next read's events. */
async function readFirst(scope: Scope): Promise<SourcePage<Task>> {
  const { project, section } = scope.inputs;
  const resource = section === null ? project : await projectOf(scope, section);
  if (resource === null) return await readTasks(scope, { next: null });
  const { sync, date } = await readChanges(scope, resource);
  return await readTasks(scope, { next: { resource, sync, read: date } });
}

async function readTasks(
  scope: Scope,
  { offset, next }: Omit<PageCursor, "offset"> & { offset?: string },
): Promise<SourcePage<Task>> {
  const { inputs } = scope;
  const { project, section, tag } = inputs;
  const [path, query] = tag === null
    ? [section === null ? `/projects/${part(project!)}` : `/sections/${part(section)}`, sinceOf(inputs)]
    : [`/tags/${part(tag)}`, {}];
  const page = await readPage<Task>(scope, `${path}/tasks`, { query, fields: wanted(inputs), offset });
  const items = page.data.filter((task) => belongs(task, inputs)).map((task) => chosen(task, inputs));
  if (page.offset !== undefined) return { items, cursor: { offset: page.offset, next }, more: true };
  return { items, ...next && { cursor: next }, complete: true };
}

/** What the list itself can leave out. */
function sinceOf({ completed }: Choice): Record<string, string> {
  if (completed === "all" || completed === "completed") return {};
  return { completed_since: completed === "open" ? "now" : completed };
}

async function readChanged(scope: Scope, known: Cursor): Promise<SourcePage<Task>> {
  const { inputs } = scope;
  const { expired, changes, sync, more } = await readChanges(scope, known.resource, known.sync);
  if (expired) throw new CursorExpired();
  const { changed, deleted } = idsOf(changes, "task");
  const found = await readEach<Task>(scope, changed.map((gid) => `/tasks/${part(gid)}`), wanted(inputs));
  const items: Task[] = [];
  const removed = deleted;
  for (const [index, task] of found.entries()) {
    if (task !== null && belongs(task, inputs)) items.push(chosen(task, inputs));
    else removed.push(changed[index]);
  }
  return { items, removed, cursor: { ...known, sync }, more };
}

/** The fields to ask for: the chosen ones, and those that say whether a task belongs. */
function wanted(inputs: Choice): string[] {
  const { tag, membership, completed, fields } = inputs;
  const needed = new Set([...ALWAYS, ...fields]);
  if (tag === null || membership.length > 0) {
    for (const name of ["memberships.project.gid", "memberships.section.gid"]) needed.add(name);
  }
  if (tag !== null || membership.length > 0) needed.add("tags.gid");
  if (completed !== "all") { for (const name of ["completed", "completed_at"]) needed.add(name); }
  return [...needed];
}

/** Whether a task is one of those that were asked for. */
function belongs(task: Task, { project, section, tag, membership, completed }: Choice): boolean {
  const places = new Set([
    ...(task.memberships ?? []).flatMap((each) => [each.project?.gid, each.section?.gid]),
    ...(task.tags ?? []).map(({ gid }) => gid),
  ]);
  if (![project ?? section ?? tag!, ...membership].every((gid) => places.has(gid))) return false;
  if (completed === "all") return true;
  if (completed === "open") return task.completed === false;
  if (completed === "completed") return task.completed === true;
  return task.completed === false || Date.parse(task.completed_at ?? "") >= Date.parse(completed);
}

/** The task with the chosen fields only: what was read besides must not count as a change. */
function chosen(task: Task, { fields }: Choice): Task {
  const names = new Set(["gid", ...ALWAYS, ...fields.map((field) => field.split(".")[0])]);
  return Object.fromEntries(Object.entries(task).filter(([name]) => names.has(name))) as unknown as Task;
}
