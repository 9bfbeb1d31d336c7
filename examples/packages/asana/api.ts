import process from "node:process";
import type { Http } from "whenthen";
import type { Change } from "./model.ts";

const ADDRESS = "https://app.asana.com/api/1.0";
/** The most that Asana gives on one page. */
const PAGE = 100;

/** What every source and action takes. */
export const address = {
  url: {
    type: "url",
    required: false,
    help: `Address of the API, for tests and proxies; else that in ASANA_URL, else ${ADDRESS}`,
  },
} as const;

/** Where requests go, and by what. */
export interface Api {
  http: Http;
  inputs: { url: string | null };
}

interface Options {
  query?: Record<string, unknown>;
  /** The fields of the answer. */
  fields?: readonly string[];
  data?: Record<string, unknown>;
  ok?: readonly number[];
}

/** What Asana answers. */
interface Answer<Data> {
  data: Data;
  next_page?: { offset: string } | null;
}

/**
 * Sends a request to Asana.
 * @param request such as `GET /tasks/77`
 * @throws what the program's `http` throws: for a status that is neither 2xx nor in `ok`, with the answer as `detail`
 */
export async function send<Data, Body = Answer<Data>>(
  { http, inputs }: Api,
  request: string,
  { query = {}, fields, data, ok }: Options = {},
): Promise<{ status: number; body: Body; date: number }> {
  const [method, path] = request.split(" ");
  const base = (inputs.url ?? process.env.ASANA_URL ?? ADDRESS).replace(/\/$/, "");
  const { status, headers, body } = await http<Body>(`${method} ${base}${path}`, {
    query: { ...query, ...fields && { opt_fields: fields.join(",") } },
    ...data && { json: { data } },
    ...ok && { ok },
  });
  // The service's own clock, so that a wrong one here loses nothing.
  return { status, body, date: Date.parse(String(headers.date)) || Date.now() };
}

/** One page of a list; `offset` is where the next one begins. */
export async function readPage<Data>(
  api: Api,
  path: string,
  { query, fields, offset }: Pick<Options, "query" | "fields"> & { offset?: string },
): Promise<{ data: Data[]; offset?: string; date: number }> {
  const { body, date } = await send<Data[]>(api, `GET ${path}`, { query: { ...query, limit: PAGE, offset }, fields });
  return { data: body.data, offset: body.next_page?.offset, date };
}

/** All pages of a list, one after the other. */
export async function readAll<Data>(
  api: Api,
  path: string,
  options: Pick<Options, "query" | "fields">,
): Promise<Data[]> {
  const all: Data[] = [];
  let offset: string | undefined;
  do {
    const page = await readPage<Data>(api, path, { ...options, offset });
    for (const each of page.data) all.push(each);
    offset = page.offset;
  } while (offset !== undefined);
  return all;
}

/** One object; null if it is gone, or not ours to see. */
export async function readOne<Data>(api: Api, path: string, fields: readonly string[]): Promise<Data | null> {
  const { status, body } = await send<Data>(api, `GET ${path}`, { fields, ok: [403, 404] });
  return status === 200 ? body.data : null;
}

/** The project that a section is in. */
export async function projectOf(api: Api, section: string): Promise<string> {
  const { body } = await send<{ project: { gid: string } }>(api, `GET /sections/${part(section)}`, {
    fields: ["project"],
  });
  return body.data.project.gid;
}

/** How many objects are read at once. */
const AT_ONCE = 5;

/** Several objects, with what became of each. */
export async function readEach<Data>(
  api: Api,
  paths: readonly string[],
  fields: readonly string[],
): Promise<(Data | null)[]> {
  const found: (Data | null)[] = [];
  for (let start = 0; start < paths.length; start += AT_ONCE) {
    const some = paths.slice(start, start + AT_ONCE).map((path) => readOne<Data>(api, path, fields));
    found.push(...await Promise.all(some));
  }
  return found;
}

/** What happened in a project or to a task since a sync token. */
export interface Changes {
  /** The token is too old, or there was none: what happened before the new one is unknown. */
  expired: boolean;
  /** Where the next read begins. */
  sync: string;
  changes: Change[];
  /** There are more events already. */
  more: boolean;
  /** Milliseconds, by Asana's clock. */
  date: number;
}

/**
 * Reads the events of a project or task (https://developers.asana.com/reference/getevents). Asana keeps them for at most a day.
 * @param sync the token of the last read; without one there are no events, and a first token
 */
export async function readChanges(api: Api, resource: string, sync?: string): Promise<Changes> {
  const query = { resource, ...sync !== undefined && { sync } };
  const { status, body, date } = await send<Change[], { data?: Change[]; sync: string; has_more?: boolean }>(
    api,
    "GET /events",
    { query, ok: [412] },
  );
  return { expired: status === 412, sync: body.sync, changes: body.data ?? [], more: body.has_more === true, date };
}

/** The ids of what changed and of what was deleted, of one type; the last event of each counts. */
export function idsOf(changes: readonly Change[], type: string): { changed: string[]; deleted: string[] } {
  const last = new Map<string, boolean>();
  for (const { action, resource } of changes) {
    if (resource?.resource_type === type) last.set(resource.gid, action === "deleted");
  }
  const ids = (wanted: boolean) => [...last].filter(([, deleted]) => deleted === wanted).map(([gid]) => gid);
  return { changed: ids(false), deleted: ids(true) };
}

/** An id in a path. */
export function part(gid: string): string {
  return encodeURIComponent(gid);
}
