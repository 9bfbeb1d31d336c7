import type { Form, FormAnswer, FormState } from "../../model/form.ts";
import { join, ordered } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import { addresseeOf } from "../ledger/tables.ts";
import type { Store, Wait } from "../store.ts";

const STATES: FormState[] = ["open", "answered", "expired", "cancelled"];

/** Opens a form, or updates it: more people, or another time. */
export function putForm(
  rows: Rows,
  { run, path }: { run: string; path: string },
  { id, title, to, fields, due }: Extract<Wait, { kind: "form" }>["form"],
  now: number,
): void {
  rows.put("form", id, {
    id,
    run,
    rule: rows.get("run", run)!.rule,
    step: path,
    title,
    to,
    fields,
    createdAt: rows.get("form", id)?.createdAt ?? now,
    ...(due !== undefined && { due: Math.ceil(due) }),
    state: "open",
  });
}

/** Ends an open form; does nothing if it has already ended. */
export function closeForm(rows: Rows, id: string, state: FormState, answer?: FormAnswer): void {
  const form = rows.get("form", id);
  if (form?.state === "open") rows.put("form", id, { ...form, state, ...(answer && { answer }) });
}

export function readForm(rows: Rows, id: string): Form | undefined {
  return rows.get("form", id);
}

/** Forms, oldest first. */
export function listForms(rows: Rows, { to, limit, ...filter }: Parameters<Store["listForms"]>[0]): Form[] {
  const after = filter.after === undefined ? undefined : rows.get("form", filter.after);
  if (filter.after !== undefined && after === undefined) return [];
  const from = after && join(ordered(after.createdAt), after.id);
  return to === undefined ? listAll(rows, filter, from, limit) : listAddressed(rows, to, filter, from, limit);
}

interface Filter {
  state?: FormState;
  run?: string;
}

function listAll(rows: Rows, { state, run }: Filter, from: string | undefined, limit: number): Form[] {
  if (run !== undefined) {
    const forms = page(rows, "run", join(run, ""), from, Infinity);
    return forms.filter((form) => state === undefined || form.state === state).slice(0, limit);
  }
  return state === undefined ? page(rows, "age", "", from, limit) : page(rows, "state", join(state, ""), from, limit);
}

/** Reads up to a page of forms for each addressee and state, then merges them in order. */
function listAddressed(
  rows: Rows,
  to: string[],
  { state, run }: Filter,
  from: string | undefined,
  limit: number,
): Form[] {
  const found = new Map<string, Form>();
  for (const who of new Set(to.map(addresseeOf))) {
    for (const one of state === undefined ? STATES : [state]) {
      const forms = page(rows, "to", join(who, one, ""), from, run === undefined ? limit : Infinity);
      for (const form of forms) if (run === undefined || form.run === run) found.set(form.id, form);
    }
  }
  const oldestFirst = [...found.values()].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  return oldestFirst.slice(0, limit);
}

function page(rows: Rows, index: string, prefix: string, from: string | undefined, limit: number): Form[] {
  return rows.range("form", index, prefix, limit, from === undefined ? undefined : prefix + from);
}
