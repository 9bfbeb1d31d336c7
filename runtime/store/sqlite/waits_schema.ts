/** The tables of what runs wait for. */
export function waitTables(schema: string): string[] {
  const table = (name: string, columns: string, options = "STRICT") =>
    `CREATE TABLE ${schema}.${name} (${columns}) ${options}`;
  const index = (name: string, on: string) => `CREATE INDEX ${schema}.${name} ON ${on}`;
  const clustered = "STRICT, WITHOUT ROWID";
  return [
    // One row for each step that waits, in the order in which they began to; `what` is for people.
    table(
      "waits",
      `position INTEGER PRIMARY KEY, run TEXT NOT NULL, path TEXT NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL,
       form TEXT, since INTEGER NOT NULL, until INTEGER, UNIQUE (run, path)`,
    ),
    // One row for each type, or pattern of types, that a wait waits for. `vals` must stand at `paths` in the event.
    table(
      "awaited",
      "type TEXT, paths TEXT, vals TEXT, wait INTEGER, PRIMARY KEY (type, paths, vals, wait)",
      clustered,
    ),
    index("awaited_by_wait", "awaited (wait)"),
    // The events that ended waits of a run: none ends two of them.
    table("taken", "run TEXT, event INTEGER, path TEXT NOT NULL, PRIMARY KEY (run, event)", clustered),
    index("taken_by_event", "taken (event)"),
    // Types and patterns that a version's steps may wait for, as far as they can be known without performing it.
    table("expected", "type TEXT, version TEXT, PRIMARY KEY (type, version)", clustered),
    index("expected_by_version", "expected (version)"),
    table(
      "forms",
      `id TEXT PRIMARY KEY, run TEXT NOT NULL, path TEXT NOT NULL, title TEXT NOT NULL, addressees TEXT NOT NULL,
       fields TEXT NOT NULL, created_at INTEGER NOT NULL, due INTEGER, state TEXT NOT NULL, answer TEXT`,
      clustered,
    ),
    index("forms_by_run", "forms (run, created_at, id)"),
    index("forms_by_age", "forms (created_at, id)"),
    index("forms_by_state", "forms (state, created_at, id)"),
    // Who a form is for, by its present state: a person's open ones are found beside any number of answered ones.
    table(
      "addressees",
      "who TEXT, state TEXT, created_at INTEGER, form TEXT, PRIMARY KEY (who, state, created_at, form)",
      clustered,
    ),
  ];
}
