/** Anything with an id and a name: a user, a project, a tag. The name is there if it was asked for. */
export interface Named {
  gid: string;
  name?: string;
}

/** Where a task is: a project, and there a section. */
export interface Membership {
  project?: Named;
  section?: Named | null;
}

export interface CustomField extends Named {
  /** The value as people see it. */
  display_value?: string | null;
}

/** A task. Fields besides these three are there if they were chosen. */
export interface Task {
  gid: string;
  name: string;
  modified_at: string;
  notes?: string;
  completed?: boolean;
  completed_at?: string | null;
  assignee?: Named | null;
  due_on?: string | null;
  due_at?: string | null;
  start_on?: string | null;
  memberships?: Membership[];
  tags?: Named[];
  custom_fields?: CustomField[];
  parent?: Named | null;
  permalink_url?: string;
}

/** What happened to a task, told by a person or by Asana. */
export interface Story {
  gid: string;
  created_at: string;
  /** `comment`, or `system` for what Asana tells. */
  type: "comment" | "system";
  resource_subtype?: string;
  text: string;
  created_by: Named | null;
  /** The task. */
  target: Named;
}

/** One event of `GET /events`. */
export interface Change {
  action: "changed" | "added" | "removed" | "deleted" | "undeleted";
  resource: { gid: string; resource_type: string } | null;
  parent?: { gid: string; resource_type: string } | null;
}
