import type { Context } from "hono";
import { attributes, type Markup, markup } from "./markup.ts";
import type { Times } from "./times.ts";

/** How many parts of history one page reads: even a filter with few matches is answered in about 100 ms. */
export const MOST_PARTS = 8;

/** Rows of a page of a list. */
export const ROWS = 20;

/** GET parameters by name; those that are not set are absent. */
export type Filters<Name extends string = string> = Partial<Record<Name, string>>;

/** One filter of a list, as a GET parameter. */
export interface Filter<Name extends string = string> {
  name: Name;
  label: string;
  /** A list to choose from; if absent, any text. Each is a value, or a value and its text. */
  choices?: readonly (string | readonly [value: string, text: string])[];
  placeholder?: string;
}

/** The filters of a request: trimmed, without the empty ones that a form sends. */
export function filtersOf<Name extends string>(c: Context, filters: readonly Filter<Name>[]): Filters<Name> {
  const given = filters.map(({ name }) => [name, c.req.query(name)?.trim() ?? ""] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== "")) as Filters<Name>;
}

/** The address of a page with these GET parameters; those that are undefined are left out. */
export function href(path: string, parameters: Record<string, string | number | undefined>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined).map((
    [name, value],
  ) => [name, String(value)]);
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}

/** The form with a list's filters: on a phone folded, with the number of those that are set. */
export function filterForm<Name extends string>(
  action: string,
  filters: readonly Filter<Name>[],
  set: Filters<Name>,
): Markup {
  const count = Object.keys(set).length;
  const controls = filters.map((filter) =>
    markup`<label class="filter"><span>${filter.label}</span> ${control(filter, set[filter.name] ?? "")}</label>\n`
  );
  return markup`<details class="filters">
<summary>Filter${count > 0 && ` (${count})`}</summary>
<form action="${action}" role="search" aria-label="Filters">
${controls}<button>Filter</button>${count > 0 && markup` <a href="${action}">Clear</a>`}
</form>
</details>`;
}

function control({ name, choices, placeholder }: Filter, value: string): Markup {
  if (choices === undefined) {
    return markup`<input${
      attributes({ type: "search", name, value, placeholder, autocomplete: "off", spellcheck: "false" })
    }>`;
  }
  const options = choices.map((choice) => typeof choice === "string" ? [choice, choice] as const : choice);
  // A value that is not in the list stays visible, because it is still applied.
  if (value !== "" && !options.some(([own]) => own === value)) options.unshift([value, value]);
  return markup`<select${attributes({ name })}>
<option value="">any</option>
${
    options.map(([own, text]) =>
      markup`<option${attributes({ value: own, selected: own === value })}>${text}</option>\n`
    )
  }</select>`;
}

/** Shows how far a search got if it reached the limit of one page, with a link that continues from there. */
export function stoppedHint(path: string, times: Times, reached: number): Markup {
  return markup`<p class="soft">Searched back to ${
    times.short(reached)
  }. <a rel="next" href="${path}">Search further</a></p>`;
}

/** A page of rows, and the row after which the next page begins. Query one more row than a page has. */
export function pageOf<T>(found: T[], rows = ROWS): { rows: T[]; last: T | undefined } {
  return { rows: found.slice(0, rows), last: found.length > rows ? found[rows - 1] : undefined };
}

/**
 * Links to the first and to the next page of a list.
 * @param cursor of this page; undefined on the first
 * @param next the cursor of the next page; undefined on the last
 */
export function pager(
  path: string,
  set: Filters,
  cursor: string | undefined,
  next: string | undefined,
): Markup | false {
  if (cursor === undefined && next === undefined) return false;
  return markup`<nav class="pager" aria-label="Pages of the list">
${cursor !== undefined && markup`<a href="${href(path, set)}">Newest</a>`}
${next !== undefined && markup`<a rel="next" href="${href(path, { ...set, before: next })}">Older</a>`}
</nav>`;
}
