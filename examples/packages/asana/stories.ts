import { CursorExpired, source, type SourcePage } from "whenthen";
import { address, type Api, type Changes, idsOf, part, readAll, readChanges, readEach, readOne } from "./api.ts";
import type { Named, Story } from "./model.ts";

const FIELDS = ["created_at", "type", "resource_subtype", "text", "created_by.name", "target.name"];
/** How long Asana may take to tell of a story: what is read again after an expired token begins so much earlier. */
const LATE = 600_000;

interface Choice {
  task: string | null;
  project: string | null;
  type: "comment" | "all";
  url: string | null;
}

type Scope = Api & { inputs: Choice };

interface Cursor {
  sync: string;
  /** When the first read was, and the last one; milliseconds, by Asana's clock. */
  began: number;
  read: number;
}

/**
 * The stories of a task, or of all tasks of a project: comments, or also what Asana itself tells. Of a project only those since the
 * first look, as all earlier ones would be one request for each of its tasks.
 */
export const stories = source({
  inputs: {
    task: { type: "text", required: false, help: "The id of a task" },
    project: { type: "text", required: false, help: "The id of a project" },
    oneOf: [["task", "project"]],
    type: { type: "choice", choices: ["comment", "all"], default: "comment" },
    ...address,
  },
  key: "item.gid",
  read: async ({ cursor, ...scope }): Promise<SourcePage<Story>> => {
    const { task, project } = scope.inputs;
    const known = cursor as Cursor | null;
    const found = await readChanges(scope, task ?? project!, known?.sync);
    if (known === null) return await readFirst(scope, found);
    if (!found.expired) return await readTold(scope, known, found);
    if (project === null) throw new CursorExpired();
    return { items: await readMissed(scope, project, known), cursor: { ...known, sync: found.sync, read: found.date } };
  },
  one: async ({ key, ...scope }): Promise<Story | null> => {
    const story = await readOne<Story>(scope, `/stories/${part(key)}`, FIELDS);
    return story !== null && belongs(story, scope.inputs) ? story : null;
  },
});

async function readFirst(scope: Scope, { sync, date }: Changes): Promise<SourcePage<Story>> {
  const { task } = scope.inputs;
  const cursor: Cursor = { sync, began: date, read: date };
  return task === null ? { cursor } : { items: await storiesOf(scope, task), cursor, complete: true };
}

async function readTold(
  scope: Scope,
  known: Cursor,
  { changes, sync, more, date }: Changes,
): Promise<SourcePage<Story>> {
  const { changed, deleted } = idsOf(changes, "story");
  const found = await readEach<Story>(scope, changed.map((gid) => `/stories/${part(gid)}`), FIELDS);
  const items = found.filter((story) => story !== null && belongs(story, scope.inputs)) as Story[];
  const removed = [...deleted, ...changed.filter((_, index) => found[index] === null)];
  return { items, removed, cursor: { ...known, sync, read: date }, more };
}

/** What was told in a project while no token was valid. */
async function readMissed(scope: Scope, project: string, { began, read }: Cursor): Promise<Story[]> {
  const since = Math.max(began, read - LATE);
  const query = { project, modified_since: new Date(since).toISOString() };
  const missed: Story[] = [];
  for (const { gid } of await readAll<Named>(scope, "/tasks", { query, fields: ["gid"] })) {
    const all = await storiesOf(scope, gid);
    missed.push(...all.filter((story) => Date.parse(story.created_at) >= since));
  }
  return missed;
}

async function storiesOf(scope: Scope, task: string): Promise<Story[]> {
  const all = await readAll<Story>(scope, `/tasks/${part(task)}/stories`, { fields: FIELDS });
  return all.filter((story) => belongs(story, scope.inputs));
}

/** Events of a task tell of its subtasks, too. */
function belongs({ type, target }: Story, inputs: Choice): boolean {
  return (inputs.type === "all" || type === "comment") && (inputs.task === null || target.gid === inputs.task);
}
