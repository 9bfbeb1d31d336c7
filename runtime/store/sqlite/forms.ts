import type { Form, FormAnswer, FormState } from "../../model/form.ts";
import type { Store, Wait } from "../store.ts";
import type { Database, Param } from "./database.ts";

interface FormRow {
  id: string;
  run: string;
  rule: string;
  path: string;
  title: string;
  addressees: string;
  fields: string;
  created_at: number;
  due: number | null;
  state: FormState;
  answer: string | null;
}

const STATES: FormState[] = ["open", "answered", "expired", "cancelled"];

const SELECT =
  "SELECT forms.id, run, rule, path, title, addressees, fields, forms.created_at, forms.due, forms.state, " +
  "answer FROM forms CROSS JOIN runs ON runs.id = run";

/** Asks a form; or asks it anew, of more people or until another time. */
export function putForm(
  database: Database,
  { run, path }: { run: string; path: string },
  form: Extract<Wait, { kind: "form" }>["form"],
  now: number,
): void {
  const before = readForm(database, form.id);
  if (before) dropAddressees(database, before);
  database.run(
    "INSERT INTO forms (id, run, path, title, addressees, fields, created_at, due, state) " +
      "VALUES (@id, @run, ?, ?, $addressees, $fields, ?, ?, 'open') ON CONFLICT (id) DO UPDATE SET " +
      "title = excluded.title, addressees = excluded.addressees, fields = excluded.fields, due = excluded.due, " +
      "state = 'open', answer = NULL",
    form.id,
    run,
    path,
    form.title,
    form.to,
    form.fields,
    before?.createdAt ?? now,
    form.due === undefined ? undefined : Math.ceil(form.due),
  );
  putAddressees(database, readForm(database, form.id)!);
}

/** Ends an open form; one that has ended stays as it is. */
export function closeForm(database: Database, id: string, state: FormState, answer?: FormAnswer): void {
  const form = readForm(database, id);
  if (form?.state !== "open") return;
  dropAddressees(database, form);
  database.run("UPDATE forms SET state = @state, answer = $answer WHERE id = @id", state, answer, id);
  putAddressees(database, { ...form, state });
}

export function readForm(database: Database, id: string): Form | undefined {
  const row = database.one<FormRow>(`${SELECT} WHERE forms.id = @id`, id);
  return row && toForm(row);
}

/** Forms, oldest first. */
export function listForms(database: Database, { to, limit, ...filter }: Parameters<Store["listForms"]>[0]): Form[] {
  const after = filter.after === undefined ? undefined : readForm(database, filter.after);
  if (filter.after !== undefined && after === undefined) return [];
  const page = { createdAt: after?.createdAt ?? -1, id: after?.id ?? "", limit };
  if (to === undefined) return listAll(database, filter, page);
  return listAddressed(database, to, filter, page);
}

/** What a page begins behind. */
interface Page {
  createdAt: number;
  id: string;
  limit: number;
}

interface Filter {
  state?: FormState;
  run?: string;
}

function listAll(database: Database, { state, run }: Filter, page: Page): Form[] {
  const where: string[] = [];
  const params: Param[] = [];
  if (run !== undefined) where.push("run = @run") && params.push(run);
  if (state !== undefined) where.push("forms.state = @state") && params.push(state);
  const sql = `${SELECT} WHERE ${[...where, "(forms.created_at, forms.id) > (?, @after)"].join(" AND ")} ` +
    "ORDER BY forms.created_at, forms.id LIMIT ?";
  return database.all<FormRow>(sql, ...params, page.createdAt, page.id, page.limit).map(toForm);
}

/** Those of each addressee and state are found by themselves, as many as the page has, then put in one order. */
function listAddressed(database: Database, to: string[], { state, run }: Filter, page: Page): Form[] {
  const found = new Map<string, number>();
  for (const who of keysOf(to)) {
    for (const one of state === undefined ? STATES : [state]) {
      const forms = database.all<{ form: string; created_at: number }>(
        "SELECT form, created_at FROM addressees WHERE who = ? AND state = @state AND (created_at, form) > (?, @after) " +
          "AND (@run IS NULL OR form IN (SELECT id FROM forms WHERE run = @run)) ORDER BY created_at, form LIMIT ?",
        who,
        one,
        page.createdAt,
        page.id,
        run,
        page.limit,
      );
      for (const { form, created_at } of forms) found.set(form, created_at);
    }
  }
  const oldest = [...found].sort(([a, atA], [b, atB]) => atA - atB || (a < b ? -1 : 1)).slice(0, page.limit);
  return oldest.map(([id]) => readForm(database, id)!);
}

/** Drops what was asked in a run, with its answers. */
export function dropForms(database: Database, run: string): void {
  for (const form of listForms(database, { run, limit: -1 })) {
    dropAddressees(database, form);
    database.run("DELETE FROM forms WHERE id = @id", form.id);
  }
}

function putAddressees(database: Database, { id, to, state, createdAt }: Form): void {
  for (const who of keysOf(to)) {
    database.run(
      "INSERT INTO addressees (who, state, created_at, form) VALUES (?, @state, ?, @id)",
      who,
      state,
      createdAt,
      id,
    );
  }
}

function dropAddressees(database: Database, { id, to, state, createdAt }: Form): void {
  for (const who of keysOf(to)) {
    database.run(
      "DELETE FROM addressees WHERE who = ? AND state = @state AND created_at = ? AND form = @id",
      who,
      state,
      createdAt,
      id,
    );
  }
}

function toForm(row: FormRow): Form {
  return {
    id: row.id,
    run: row.run,
    rule: row.rule,
    step: row.path,
    title: row.title,
    to: JSON.parse(row.addressees),
    fields: JSON.parse(row.fields),
    createdAt: row.created_at,
    ...(row.due !== null && { due: row.due }),
    state: row.state,
    ...(row.answer !== null && { answer: JSON.parse(row.answer) }),
  };
}

/** What people are found by; an e-mail address is one, however it is written. */
function keysOf(to: string[]): Set<string> {
  return new Set(to.map((name) => name.includes("@") ? name.toLowerCase() : name));
}
