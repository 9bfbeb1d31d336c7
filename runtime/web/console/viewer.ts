import type { Context, MiddlewareHandler } from "hono";
import type { Person } from "../../model/form.ts";
import { type AccessRefusal, answerRefusedAccess, bearerToken, refusalOf } from "../access.ts";
import type { WebContext } from "../context.ts";
import { isOperator } from "../forms/people.ts";
import { sessionOf, toSignIn } from "../forms/sessions.ts";
import { csrfToken } from "../forms/signatures.ts";
import { SOMEBODY } from "../request.ts";

/** The person who requests a page, or acts on it. */
export interface Viewer {
  /** Absent if the request needs no account: on this machine while no token is set, and with the API token. */
  person?: Person;
  /** Sees and does everything. Others see the forms addressed to them, the rules they may start, and their runs. */
  isOperator: boolean;
  /** The name that is recorded with what the viewer does. */
  by: string;
  /** The token that forms on the viewer's pages send back, see {@link readInputs}. */
  csrf: string;
  /** The owner of the token; undefined if none is needed, because no browser sends this request by itself. */
  owner?: string;
}

/** What the routes of the console know about a request. */
export interface ConsoleEnv {
  Variables: { viewer: Viewer };
  /** `address` of the sender. */
  Bindings: { address(): string };
}

/** The viewer of a request; or why it is refused. */
async function viewerOf(c: Context, context: WebContext): Promise<Viewer | { refused: AccessRefusal }> {
  const hasToken = bearerToken(c) !== undefined;
  const signedIn = hasToken ? undefined : await sessionViewer(c, context);
  if (signedIn !== undefined) return signedIn;
  const refused = refusalOf(c, context);
  if (refused !== undefined) return { refused };
  if (hasToken) return { isOperator: true, by: SOMEBODY, csrf: "" };
  return { isOperator: true, by: SOMEBODY, csrf: csrfToken(context.desk, LOCAL), owner: LOCAL };
}

/** The viewer who has signed in, if there is one. */
export async function sessionViewer(c: Context, { desk }: WebContext): Promise<Viewer | undefined> {
  const session = await sessionOf(c, { desk });
  if (session === undefined) return undefined;
  const { person, cookie } = session;
  return { person, isOperator: isOperator(person), by: person.id, csrf: csrfToken(desk, cookie), owner: cookie };
}

/** The owner of pages for requests from this machine without a session. */
const LOCAL = "this machine";

/** Authenticates viewers. A browser without a session is sent to the sign-in and then back; programs get 401. */
export function letIn(context: WebContext): MiddlewareHandler<ConsoleEnv> {
  return async (c, next) => {
    const viewer = await viewerOf(c, context);
    if (!("refused" in viewer)) {
      c.set("viewer", viewer);
      return await next();
    }
    const { refused } = viewer;
    if (refused.status === 401 && bearerToken(c) === undefined && wantsPage(c)) {
      const { pathname, search } = new URL(c.req.url);
      return toSignIn(c, c.req.method === "GET" ? pathname + search : undefined);
    }
    return answerRefusedAccess(c, refused);
  };
}

/** Whether a request is to look at a run that the viewer started by hand. */
export async function isForOwnRun(c: Context<ConsoleEnv>, { store }: WebContext): Promise<boolean> {
  const [, own] = /^\/runs\/([^/]+)(?:\/value)?$/.exec(c.req.path) ?? [];
  const id = c.req.path === "/live" && c.req.query("page") === "run" ? c.req.query("run") : own;
  const { person } = c.get("viewer");
  if (c.req.method !== "GET" || id === undefined || person === undefined) return false;
  return (await store.getRun(id))?.run.event.by === person.id;
}

/** Whether the request is from a person's browser, not from a program. */
export function wantsPage(c: Context): boolean {
  // A script that requests part of a page cannot show another page instead.
  return /\btext\/html\b/.test(c.req.header("accept") ?? "") && c.req.header("hx-request") === undefined;
}
