import type { Context } from "hono";
import { newerMark } from "./live.ts";
import { attributes, type Markup, markup, type Part } from "./markup.ts";
import type { Times } from "./times.ts";
import { type WordName, wordOf } from "./words.ts";

/** How many parts of history one page reads: even a filter with few matches is answered in about 100 ms. */
export const MOST_PARTS = 8;

/** Rows of a page of a list. */
export const ROWS = 20;
/** Rows of a page of a list that is in memory: they are short, and most such lists have fewer. */
export const LONG_PAGE = 50;

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

/** The filter of a list by a part of a name. */
export const NAME_FILTER = { name: "text", label: "Name", placeholder: "part of a name" } as const satisfies Filter;

/** The filters for a range of time, see {@link Times.range}. */
export const TIME_FILTERS = [
  { name: "from", label: "From", placeholder: "2h or 09:00" },
  { name: "to", label: "To", placeholder: "2026-11-30" },
] as const satisfies Filter[];

/** The filters of a request: trimmed, without the empty ones that a form sends. */
export function filtersOf<Name extends string>(c: Context, filters: readonly Filter<Name>[]): Filters<Name> {
  const set: Filters<Name> = {};
  for (const { name } of filters) {
    const value = c.req.query(name)?.trim() ?? "";
    if (value !== "") set[name] = value;
  }
  return set;
}

/** The address of a page with these GET parameters; those that are undefined are left out. */
export function href(path: string, parameters: Record<string, string | number | undefined>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined).map((
    [name, value],
  ) => [name, String(value)]);
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}

/** The path of the page about something whose id may contain slashes. */
export function idPath(base: string, id: string): string {
  return `${base}/${id.split("/").map(encodeURIComponent).join("/")}`;
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

/** The rows of a page, and the cursor of the next page. */
export interface Found<Row> {
  rows: Row[];
  /** The cursor of the next page; undefined on the last one. */
  next?: string;
  /** Whether the search ended before the page was full; it continues at `next`. */
  isPartial: boolean;
}

/** A list with filters and pages. */
export interface List<Name extends string> {
  title: string;
  path: string;
  filters: readonly Filter<Name>[];
  set: Filters<Name>;
  /** The cursor of this page; undefined on the first one. */
  before: string | undefined;
  /** How many rows there are of each kind. */
  counts: Markup;
  /** What can be done to all rows. */
  actions?: Part;
  /** Its rows; false if there are none. */
  table: Part;
  /** Shown if there are no rows. */
  none: string;
  found: Pick<Found<unknown>, "next" | "isPartial">;
  /** The time that a cursor stands for. */
  reached(cursor: string): number;
}

/** The page of a list: heading with counts, filters, rows, and the link to the next page. */
export function listBody<Name extends string>(list: List<Name>, times: Times): Markup {
  const { title, path, filters, set, before, counts, actions, table, none, found: { next, isPartial } } = list;
  return markup`<div class="beside top"><h1>${title}</h1> ${counts} ${before === undefined && newerMark()}</div>
<div class="over">${filterForm(path, filters, set)}
${actions}</div>
${table}
${table === false && !isPartial && markup`<p class="soft">${none}</p>`}
${isPartial && stoppedHint(href(path, { ...set, before: next }), times, list.reached(next!))}
${pager(path, set, before, isPartial ? undefined : next)}`;
}

/**
 * A table of rows.
 * @param kind its class besides `rows`; "" for none
 * @param heads the columns; with a class if it is not plain text
 */
export function rowTable(
  kind: string,
  heads: readonly (string | readonly [text: string, looks: string])[],
  rows: Part,
): Markup {
  const cells = heads.map((head) =>
    typeof head === "string" ? markup`<th>${head}</th>` : markup`<th class="${head[1]}">${head[0]}</th>`
  );
  return markup`<table class="rows${kind !== "" && ` ${kind}`}">
<thead><tr>${cells}</tr></thead>
<tbody>
${rows}</tbody>
</table>`;
}

/** Whether any filter is set. */
export function hasFilters(set: Filters): boolean {
  return Object.keys(set).length > 0;
}

/**
 * Links that filter a list by a kind of row, with its count; the link of the filter that is set removes it.
 * @param by the name of the filter
 */
export function countLinks(
  label: string,
  path: string,
  by: string,
  set: Filters,
  shown: { name: WordName; count?: number }[],
): Markup {
  const links = shown.map(({ name, count }) => {
    const { icon, tone } = wordOf(name);
    const isOn = set[by] === name;
    const to = href(path, { ...set, [by]: isOn ? undefined : name });
    return markup`<a class="${count === 0 && !isOn ? "none" : tone}" href="${to}"${
      isOn && markup` aria-current="true"`
    }><span aria-hidden="true">${icon}</span> ${
      count !== undefined && markup`<b>${count.toLocaleString("en")}</b> `
    }${name}</a>\n`;
  });
  return markup`<p class="counts" role="group" aria-label="${label}">${links}</p>`;
}

/** Shows how far a search got if it reached the limit of one page, with a link that continues from there. */
function stoppedHint(path: string, times: Times, reached: number): Markup {
  return markup`<p class="soft">Searched back to ${
    times.short(reached)
  }. <a rel="next" href="${path}">Search further</a></p>`;
}

/** One page of a list that is in memory; its cursor is the number of the rows before it. */
export function memoryPage<Row>(all: Row[], before: string | undefined): { rows: Row[]; next: string | undefined } {
  const first = Number(before) || 0;
  const end = first + LONG_PAGE;
  return { rows: all.slice(first, end), next: all.length > end ? String(end) : undefined };
}

/** A list of rules by their names that is in memory. */
export interface NamedList<Row> {
  title: string;
  path: string;
  all: Row[];
  nameOf(row: Row): { id: string; name?: string };
  table(rows: Row[]): Markup;
  /** Shown if there are none at all. */
  none: Part;
}

/** The page of such a list: heading, a filter by name if it is long, one page of rows in the order of their names, and the pager. */
export function namedList<Row>(c: Context, { title, path, all, nameOf, table, none }: NamedList<Row>): Markup {
  const filters = [NAME_FILTER];
  const set = filtersOf(c, filters);
  const text = set.text?.toLowerCase() ?? "";
  const wanted = all.map((row) => ({ row, ...nameOf(row) }))
    .filter(({ id, name = "" }) => `${id}\n${name}`.toLowerCase().includes(text))
    .sort((a, b) => (a.name ?? a.id).localeCompare(b.name ?? b.id));
  const { before } = c.req.query();
  const { rows, next } = memoryPage(wanted, before);
  return markup`<h1>${title}</h1>
${(all.length > LONG_PAGE || set.text !== undefined) && filterForm(path, filters, set)}
${
    rows.length > 0
      ? table(rows.map(({ row }) => row))
      : markup`<p class="soft">${all.length > 0 ? "No rule is like that." : none}</p>`
  }
${pager(path, set, before, next)}`;
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
