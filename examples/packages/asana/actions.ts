import { action } from "whenthen";
import { address, part, projectOf, send } from "./api.ts";
import type { Task } from "./model.ts";
import { writeStatus } from "./status_text.ts";

const task = { type: "text", min: 1, help: "The id of the task" } as const;
/** What the actions give of a task. */
const GIVEN = ["name", "permalink_url"];
type Given = Pick<Task, "gid" | "name" | "permalink_url">;

/** Comments on a task. */
export const comment = action({
  inputs: { task, text: { type: "text", min: 1 }, pinned: false, ...address },
  run: async ({ inputs: { task, text, pinned, url }, http }) => {
    const data = { text, ...pinned && { is_pinned: true } };
    const { body } = await send<{ gid: string }>({ http, inputs: { url } }, `POST /tasks/${part(task)}/stories`, {
      data,
    });
    return { gid: body.data.gid };
  },
});

/** Creates a task in a project, in a section, or below another task. */
export const create = action({
  inputs: {
    name: { type: "text", min: 1 },
    project: { type: "text", required: false },
    section: { type: "text", required: false, help: "The id of a section: the task comes there" },
    parent: { type: "text", required: false, help: "The id of a task: this one becomes its subtask" },
    notes: { type: "text", required: false },
    assignee: { type: "text", required: false, help: "An id, an e-mail address, or me" },
    due: { type: "date", required: false },
    tags: { type: "list", of: "text", default: [], help: "Ids of tags" },
    ...address,
  },
  run: async ({ inputs: { section, url, ...given }, http }) => {
    const api = { http, inputs: { url } };
    const project = given.project ?? (section === null ? null : await projectOf(api, section));
    const data = {
      name: given.name,
      ...project !== null && { memberships: [{ project, ...section !== null && { section } }] },
      ...given.parent !== null && { parent: given.parent },
      ...given.notes !== null && { notes: given.notes },
      ...given.assignee !== null && { assignee: given.assignee },
      ...given.due !== null && { due_on: given.due },
      ...given.tags.length > 0 && { tags: given.tags },
    };
    const { body } = await send<Given>(api, "POST /tasks", { data, fields: GIVEN });
    return body.data;
  },
});

/** Moves a task to a section, and so to its project, too; `from` is a project that it leaves. */
export const move = action({
  inputs: {
    task,
    section: { type: "text", min: 1, help: "The id of a section" },
    from: { type: "text", required: false, help: "The id of a project that it leaves" },
    ...address,
  },
  run: async ({ inputs: { task, section, from, url }, http }) => {
    const api = { http, inputs: { url } };
    await send(api, `POST /sections/${part(section)}/addTask`, { data: { task } });
    if (from !== null) await send(api, `POST /tasks/${part(task)}/removeProject`, { data: { project: from } });
    return { gid: task };
  },
});

/** Completes a task, or with `completed: false` opens it again. */
export const complete = action({
  inputs: { task, completed: true, ...address },
  run: async ({ inputs: { task, completed, url }, http }) => {
    const api = { http, inputs: { url } };
    const { body } = await send<Given>(api, `PUT /tasks/${part(task)}`, { data: { completed }, fields: GIVEN });
    return body.data;
  },
});

/**
 * Writes what a rule did where people see it: into a block in the notes of a task, whose other text stays, or as a comment on it.
 * Not on a task that a rule polls: each status would be a change.
 */
export const status = action({
  inputs: {
    task,
    rule: { type: "text", min: 1 },
    state: { type: "text", help: "How the last run ended: succeeded, failed" },
    run: { type: "text", required: false, help: "The id of the last run" },
    error: { type: "text", required: false },
    config: { type: "text", required: false, help: "The values in force: lines of text, or JSON" },
    revision: { type: "text", required: false, help: "The git revision of the rules" },
    at: { type: "text", required: false, help: "When the run ended" },
    comment: { type: "boolean", default: false, help: "Comments rather than write into the notes" },
    ...address,
  },
  run: async ({ inputs: { task, url, comment, ...facts }, http }) => {
    const api = { http, inputs: { url } };
    if (comment) {
      const { body } = await send<{ gid: string }>(api, `POST /tasks/${part(task)}/stories`, {
        data: { text: writeStatus(facts) },
      });
      return { gid: body.data.gid };
    }
    const { body } = await send<Task>(api, `GET /tasks/${part(task)}`, { fields: ["notes"] });
    const notes = writeStatus(facts, body.data.notes ?? "");
    if (notes !== body.data.notes) await send(api, `PUT /tasks/${part(task)}`, { data: { notes } });
    return { gid: task };
  },
});
