import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { type StoredTask, Workspace } from "./workspace.ts";

/** The token that the stand-in accepts. */
export const TOKEN = "pat-of-the-tests";

interface Refusal {
  matches: RegExp;
  status: number;
  headers: Record<string, string>;
}

interface Hook {
  resource: string;
  target: string;
  secret: string;
  waiting: unknown[];
}

interface Asked {
  method: string;
  path: string[];
  query: URLSearchParams;
  // deno-lint-ignore no-explicit-any
  data: any;
}

/** An answer of the API; `list` is paged. */
type Answered = { status?: number; body?: Record<string, unknown>; list?: unknown[]; one?: unknown };

/** A stand-in of Asana's API (https://developers.asana.com/reference) on a real socket, for what the package uses. */
export class Asana extends Workspace implements AsyncDisposable {
  /** All requests: `GET /tasks/1?opt_fields=name`. */
  readonly requests: string[] = [];
  /** Tasks as lists have them, if not as they are: Asana's lists may lag behind. */
  readonly listed = new Map<string, StoredTask>();
  /** Events in one answer; Asana has 100. */
  most = 100;
  readonly #hooks: Hook[] = [];
  readonly #refusals: Refusal[] = [];
  #held: { left: number; matches: RegExp } | undefined;
  readonly #server = createServer((request, response) => void this.#serve(request, response).catch(() => {}));

  static async start(): Promise<Asana> {
    const asana = new Asana();
    await new Promise<void>((resolve) => asana.#server.listen(0, "127.0.0.1", resolve));
    asana.onEvent((of, event) => {
      for (const hook of asana.#hooks) if (of.has(hook.resource)) hook.waiting.push(event);
    });
    return asana;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}/api/1.0`;
  }

  /** Refuses the next request that matches. */
  refuseOnce(matches: RegExp, status: number, headers: Record<string, string> = {}): void {
    this.#refusals.push({ matches, status, headers });
  }

  /** Leaves requests that match without an answer and without effect, once there were `count` of them. */
  holdAfter(count: number, matches: RegExp): void {
    this.#held = { left: count, matches };
  }

  /** Ends {@link holdAfter}, for requests from here on. */
  release(): void {
    this.#held = undefined;
  }

  /** Requests since the last call, without their queries. */
  asked(): string[] {
    return this.requests.splice(0).map((line) => line.split("?")[0]);
  }

  /**
   * Sends to each webhook what happened in its resource; an empty delivery if nothing did, as Asana does three times a day.
   * @param forge signs with another secret
   * @returns the statuses
   */
  async deliver(forge = false): Promise<number[]> {
    const statuses: number[] = [];
    for (const { target, secret, waiting } of this.#hooks) {
      const body = JSON.stringify({ events: waiting.splice(0) });
      const signature = createHmac("sha256", forge ? "another" : secret).update(body).digest("hex");
      const headers = { "content-type": "application/json", "x-hook-signature": signature };
      const response = await fetch(target, { method: "POST", headers, body });
      statuses.push(response.status);
      await response.body?.cancel();
    }
    return statuses;
  }

  /** Waits until it got a request. */
  async got(matches: RegExp, count = 1): Promise<void> {
    const end = Date.now() + 120_000;
    while (this.requests.filter((line) => matches.test(line)).length < count) {
      if (Date.now() > end) throw new Error(`no ${matches} among:\n${this.requests.join("\n")}`);
      await pause(10);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    const url = new URL(request.url!, this.url);
    const line = `${request.method} ${url.pathname.replace("/api/1.0", "")}${url.search}`;
    this.requests.push(line);
    if (this.#held?.matches.test(line) && this.#held.left-- <= 0) return;
    const refused = this.#refusals.findIndex(({ matches }) => matches.test(line));
    const [refusal] = refused === -1 ? [] : this.#refusals.splice(refused, 1);
    const isAdmitted = request.headers.authorization === `Bearer ${TOKEN}`;
    const asked = {
      method: request.method!,
      path: url.pathname.split("/").slice(3),
      query: url.searchParams,
      data: text === "" ? {} : JSON.parse(text).data,
    };
    const answer = !isAdmitted
      ? failed(401, "Not Authorized")
      : refusal !== undefined
      ? failed(refusal.status, "refused")
      : await this.#answer(asked);
    const { status = 200, body } = written(answer, asked);
    response.writeHead(status, { "content-type": "application/json", ...refusal?.headers });
    response.end(JSON.stringify(body));
  }

  async #answer(asked: Asked): Promise<Answered> {
    const { method, path: [kind, gid, part], query, data } = asked;
    const all = [...this.tasks.values()].map((task) => this.listed.get(task.gid) ?? task);
    const changed = (one: unknown) => one === undefined ? failed(404, "Unknown object") : { one };
    switch (`${method} /${[kind, ...gid === undefined ? [] : [":"], ...part === undefined ? [] : [part]].join("/")}`) {
      case "GET /events":
        return this.#eventsSince(query.get("resource")!, query.get("sync"));
      case "GET /tasks": {
        const since = Date.parse(query.get("modified_since") ?? "1970-01-01");
        const inProject = all.filter((task) => isIn(task, query.get("project")!));
        return { list: inProject.filter((task) => Date.parse(task.modified_at) >= since) };
      }
      case "GET /projects/:/tasks":
      case "GET /sections/:/tasks":
        return { list: all.filter((task) => isIn(task, gid) && isSince(task, query.get("completed_since"))) };
      case "GET /tags/:/tasks":
        return { list: all.filter(({ tags }) => tags.some((tag) => tag.gid === gid)) };
      case "GET /sections/:":
        return { one: { gid, project: { gid: gid.slice(0, -1), name: "x" } } };
      case "GET /tasks/:":
        return changed(this.tasks.get(gid));
      case "GET /tasks/:/subtasks":
        return { list: all.filter(({ parent }) => parent?.gid === gid) };
      case "GET /tasks/:/stories":
        return { list: [...this.stories.values()].filter(({ target }) => target.gid === gid) };
      case "GET /stories/:":
        return changed(this.stories.get(gid));
      case "PUT /tasks/:":
        return changed(this.change(gid, data));
      case "POST /tasks":
        return { status: 201, one: this.#create(data) };
      case "POST /tasks/:/stories":
        return this.tasks.has(gid) ? { status: 201, one: this.comment(gid, data.text) } : failed(404, "Unknown object");
      case "POST /tasks/:/removeProject":
        this.leave(gid, data.project);
        return { one: {} };
      case "POST /sections/:/addTask":
        this.move(data.task, `${gid.slice(0, -1)}/${gid}`);
        return { one: {} };
      case "POST /webhooks":
        return await this.#handshake(data);
    }
    return failed(404, `No route for ${method} /${asked.path.join("/")}`);
  }

  // deno-lint-ignore no-explicit-any
  #create({ memberships = [], parent, ...given }: any) {
    const places = memberships.map(({ project, section }: Record<string, string>) =>
      section === undefined ? project : `${project}/${section}`
    );
    return this.add({ ...given, in: places, ...parent !== undefined && { parent } });
  }

  #eventsSince(resource: string, sync: string | null): Answered {
    const token = (index: number) => `${this.era}:${index}`;
    const [era, index] = sync?.split(":") ?? [];
    if (era !== String(this.era)) {
      return failed(412, "Sync token invalid or too old", { sync: token(this.events.length) });
    }
    const found = this.events.slice(Number(index)).filter(({ of }) => of.has(resource));
    const given = found.slice(0, this.most);
    const more = found.length > given.length;
    const end = more ? this.events.indexOf(given.at(-1)!) + 1 : this.events.length;
    return { body: { data: given.map(({ event }) => event), sync: token(end), has_more: more } };
  }

  /** The receiver has to send the secret back (https://developers.asana.com/docs/webhooks-guide). */
  async #handshake({ resource, target }: { resource: string; target: string }): Promise<Answered> {
    const secret = `secret-${this.#hooks.length + 1}-${"x".repeat(32)}`;
    const response = await fetch(target, { method: "POST", headers: { "x-hook-secret": secret }, body: "{}" });
    await response.body?.cancel();
    if (!response.ok || response.headers.get("x-hook-secret") !== secret) {
      return failed(403, `The remote server did not respond with the handshake secret: ${response.status}`);
    }
    this.#hooks.push({ resource, target, secret, waiting: [] });
    return { status: 201, one: { gid: String(this.#hooks.length), active: true } };
  }
}

function failed(status: number, message: string, more: Record<string, unknown> = {}): Answered {
  return { status, body: { errors: [{ message }], ...more } };
}

/** The answer with its page and its fields. */
function written({ status, body, list, one }: Answered, asked: Asked): { status?: number; body: unknown } {
  const { query } = asked;
  const fields = query.get("opt_fields")?.split(",") ?? ["name", "resource_type"];
  if (one !== undefined) return { status, body: { data: withFields(one, fields) } };
  if (list === undefined) return { status, body };
  const limit = Number(query.get("limit") ?? 20);
  if (!(limit >= 1 && limit <= 100)) return written(failed(400, "limit: must be between 1 and 100"), asked);
  const offset = query.get("offset");
  const start = offset === null ? 0 : Number(/^eyJ(\d+)$/.exec(offset)?.[1]);
  if (Number.isNaN(start)) return written(failed(400, "offset: Your pagination token is invalid"), asked);
  const end = start + limit;
  return {
    body: {
      data: list.slice(start, end).map((each) => withFields(each, fields)),
      next_page: end < list.length ? { offset: `eyJ${end}`, path: "/x", uri: "x" } : null,
    },
  };
}

/** What `opt_fields` names, and each id. */
function withFields(value: unknown, fields: string[]): unknown {
  if (Array.isArray(value)) return value.map((each) => withFields(each, fields));
  if (typeof value !== "object" || value === null) return value;
  const given = value as Record<string, unknown>;
  const names = [...new Set(fields.map((field) => field.split(".")[0]))].filter((name) => Object.hasOwn(given, name));
  const below = (name: string) =>
    fields.filter((field) => field.startsWith(`${name}.`)).map((field) => field.slice(name.length + 1));
  return {
    ..."gid" in given && { gid: given.gid },
    ...Object.fromEntries(names.map((name) => {
      const inner = below(name);
      return [name, withFields(given[name], inner.length > 0 ? inner : ["gid", "name", "resource_type"])];
    })),
  };
}

// deno-lint-ignore no-explicit-any
function isIn({ memberships }: any, gid: string): boolean {
  return memberships.some(({ project, section }: Record<string, { gid: string }>) =>
    project.gid === gid || section.gid === gid
  );
}

function isSince(
  { completed, completed_at }: { completed: boolean; completed_at: string | null },
  since: string | null,
) {
  if (since === null || !completed) return true;
  return since !== "now" && Date.parse(completed_at!) >= Date.parse(since);
}
