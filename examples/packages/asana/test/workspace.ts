/** A task as the stand-in keeps it: with all fields, whatever is asked for. */
export interface StoredTask {
  gid: string;
  resource_type: "task";
  name: string;
  notes: string;
  completed: boolean;
  completed_at: string | null;
  modified_at: string;
  assignee: { gid: string; name: string } | null;
  due_on: string | null;
  memberships: { project: Place; section: Place }[];
  tags: Place[];
  custom_fields: { gid: string; name: string; display_value: string | null }[];
  parent: { gid: string; resource_type: "task" } | null;
  num_subtasks: number;
  permalink_url: string;
}

export interface StoredStory {
  gid: string;
  resource_type: "story";
  created_at: string;
  type: "comment" | "system";
  resource_subtype: string;
  text: string;
  created_by: { gid: string; name: string };
  target: { gid: string; name: string; resource_type: "task" };
}

interface Place {
  gid: string;
  name: string;
}

export interface StoredEvent {
  action: string;
  created_at: string;
  resource: { gid: string; resource_type: string };
  parent: { gid: string; resource_type: string } | null;
}

type Given = Partial<Omit<StoredTask, "memberships" | "tags" | "parent">> & {
  /** Sections as `project/section`. */
  in?: string[];
  tags?: string[];
  parent?: string;
};

/** Asana's data: tasks, stories, and the events that changes of them make. */
export class Workspace {
  readonly tasks = new Map<string, StoredTask>();
  readonly stories = new Map<string, StoredStory>();
  /** Each with the projects and tasks that tell of it. */
  readonly events: { of: Set<string>; event: StoredEvent }[] = [];
  /** Tokens of an earlier generation have expired. */
  era = 0;
  #count = 1_000;
  #told = new Set<(of: Set<string>, event: StoredEvent) => void>();

  /** Calls back for each event from here on. */
  onEvent(told: (of: Set<string>, event: StoredEvent) => void): void {
    this.#told.add(told);
  }

  add({ in: places = [], tags = [], parent, ...given }: Given = {}): StoredTask {
    const gid = given.gid ?? String(++this.#count);
    const task: StoredTask = {
      gid,
      resource_type: "task",
      name: `Task ${gid}`,
      notes: "",
      completed: false,
      completed_at: null,
      modified_at: now(),
      assignee: null,
      due_on: null,
      memberships: places.map(membership),
      tags: tags.map((tag) => ({ gid: tag, name: `Tag ${tag}` })),
      custom_fields: [],
      parent: parent === undefined ? null : { gid: parent, resource_type: "task" },
      num_subtasks: 0,
      permalink_url: `https://app.asana.com/0/0/${gid}`,
      ...given,
    };
    this.tasks.set(gid, task);
    if (parent !== undefined) this.tasks.get(parent)!.num_subtasks++;
    this.#tell("added", task, task.memberships[0]?.project.gid);
    return task;
  }

  /** @returns the task as it is now; undefined if there is none */
  change(gid: string, fields: Partial<StoredTask>): StoredTask | undefined {
    const task = this.tasks.get(gid);
    if (task === undefined) return undefined;
    const { completed } = fields;
    const done = completed === undefined ? {} : { completed_at: completed ? now() : null };
    Object.assign(task, fields, done, { modified_at: now() });
    this.#tell("changed", task);
    return task;
  }

  delete(gid: string): void {
    const task = this.tasks.get(gid)!;
    this.tasks.delete(gid);
    this.#tell("deleted", task);
  }

  /** Puts a task in a section, `project/section`: within its project it leaves the other one. */
  move(gid: string, place: string): void {
    const task = this.tasks.get(gid)!;
    const added = membership(place);
    const others = task.memberships.filter(({ project }) => project.gid !== added.project.gid);
    task.memberships = [...others, added];
    this.#tell(others.length === task.memberships.length - 1 ? "added" : "changed", task, added.project.gid);
  }

  leave(gid: string, project: string): void {
    const task = this.tasks.get(gid)!;
    const before = placesOf(task);
    task.memberships = task.memberships.filter((each) => each.project.gid !== project);
    this.#tell("removed", task, project, before);
  }

  comment(task: string, text: string, type: "comment" | "system" = "comment", created_at = now()): StoredStory {
    const gid = String(++this.#count);
    const { name } = this.tasks.get(task)!;
    const story: StoredStory = {
      gid,
      resource_type: "story",
      created_at,
      type,
      resource_subtype: type === "comment" ? "comment_added" : "name_changed",
      text,
      created_by: { gid: "9", name: "Ann" },
      target: { gid: task, name, resource_type: "task" },
    };
    this.stories.set(gid, story);
    this.tasks.get(task)!.modified_at = now();
    this.#emit("added", { gid, resource_type: "story" }, { gid: task, resource_type: "task" }, this.#above(task));
    return story;
  }

  deleteStory(gid: string): void {
    const { target } = this.stories.get(gid)!;
    this.stories.delete(gid);
    this.#emit("deleted", { gid, resource_type: "story" }, target, this.#above(target.gid));
  }

  #tell(action: string, task: StoredTask, project?: string, of = placesOf(task)): void {
    const parent = project === undefined ? null : { gid: project, resource_type: "project" };
    for (const gid of this.#above(task.gid)) of.add(gid);
    if (task.parent !== null) { for (const gid of this.#above(task.parent.gid)) of.add(gid); }
    this.#emit(action, { gid: task.gid, resource_type: "task" }, parent, of);
  }

  #emit(action: string, resource: StoredEvent["resource"], parent: StoredEvent["parent"], of: Set<string>): void {
    const event = { action, created_at: now(), resource, parent };
    this.events.push({ of, event });
    for (const told of this.#told) told(of, event);
  }

  /** What tells of a task: itself, the tasks above it, and their projects. */
  #above(gid: string): Set<string> {
    const task = this.tasks.get(gid);
    if (task === undefined) return new Set([gid]);
    return new Set([gid, ...placesOf(task), ...task.parent === null ? [] : this.#above(task.parent.gid)]);
  }
}

function placesOf(task: StoredTask): Set<string> {
  return new Set(task.memberships.map(({ project }) => project.gid));
}

function membership(place: string): StoredTask["memberships"][number] {
  const [project, section = `${project}0`] = place.split("/");
  return {
    project: { gid: project, name: `Project ${project}` },
    section: { gid: section, name: `Section ${section}` },
  };
}

function now(): string {
  return new Date().toISOString();
}
