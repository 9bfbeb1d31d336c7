import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { NotEndedError } from "../engine/other_replicas.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import { guard, securityHeaders } from "./access.ts";
import { RETRY_AFTER, retryAfterOf } from "./answer.ts";
import { api } from "./api.ts";
import { configApi } from "./config_api.ts";
import { connectionsApi, hooksApi } from "./connections_api.ts";
import type { WebContext } from "./context.ts";
import { receiveEvent } from "./cloud_events.ts";
import { fleetsApi, tasksApi } from "./fleets_api.ts";
import { formsApi } from "./forms_api.ts";
import { answerHandshake } from "./hook_options.ts";
import { receiveHook, type Target } from "./hooks.ts";
import { startApi } from "./rules_api.ts";

/** The HTTP interface of the program. */
export interface Web {
  /** @param address of the sender; absent for requests within the process */
  fetch(request: Request, address?: () => string): Promise<Response>;
  /** The routes for programs, as the router has them. */
  routes: { method: string; path: string }[];
}

/** The HTTP side of the program: hooks, events, API, health, metrics; forms and console. */
export function createWeb(context: WebContext): Web {
  const app = new Hono();
  app.onError((error, c) => answerError(error, c.req.raw, context));

  app.get("/healthz", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => {
    const phase = context.phase();
    const isRefusing = phase === "ready" && context.store.refusal() !== undefined;
    const state = isRefusing ? "writes to the disk fail" : phase;
    return state === "ready" ? c.text("ready\n") : c.text(`${state}\n`, 503, { "retry-after": RETRY_AFTER });
  });

  app.use(securityHeaders());
  app.route("/api/forms", formsApi(context));
  app.route("/api", startApi(context));
  app.route("/api", tasksApi(context));
  app.route("/api", configApi(context));

  // For programs: these need a token, or a request from this machine.
  const guarded = guard(context);
  app.options("/events", guarded, (c) => answerHandshake(c.req.raw.headers) ?? c.body(null, 405, { allow: "POST" }));
  app.post("/events", guarded, (c) => closed(context) ?? receiveEvent(c, context));
  app.get("/metrics", guarded, async (c) => {
    const { body, contentType } = await context.metrics.expose();
    return c.body(context.mask(body), 200, { "content-type": contentType });
  });
  app.use("/api/*", guarded);
  app.route("/api/connections", connectionsApi(context));
  app.route("/api/hooks", hooksApi(context));
  app.route("/api", fleetsApi(context));
  app.route("/api", api(context));
  let description: Promise<object> | undefined;
  app.get("/api/openapi.json", async (c) => {
    // Loaded when it is asked for: most programs never are.
    description ??= import("./openapi/document.ts").then(({ openApiDocument }) => openApiDocument(context.version));
    return c.json(await description);
  });
  app.all("/api/*", (c) => c.json({ error: "There is nothing at this path" }, 404));

  // For people.
  let pages: Promise<{ fetch(request: Request, env: unknown): Response | Promise<Response> }> | undefined;
  app.all("*", async (c) => {
    // Loaded with the first page: most processes never serve one.
    pages ??= import("./console/console.ts").then(({ consolePages }) => consolePages(context));
    return await (await pages).fetch(c.req.raw, c.env);
  });
  const routes = app.routes.filter(({ method }) => method !== "ALL").map(({ method, path }) => ({ method, path }));
  return {
    routes,
    async fetch(request, address = () => "") {
      const url = plainHook(request) ?? urlOf(request);
      if (url === undefined) return Response.json({ error: "The header Host is not valid" }, { status: 400 });
      if (/^\/hooks(\/|$)/.test(url.pathname)) return await answerHook(request, url, address, context);
      const own = URL.canParse(request.url) ? request : new Request(urlOf(request)!, request);
      const response = await app.fetch(own, { address });
      if (url.pathname === "/events" && request.method !== "GET") {
        await context.refused.note(request, url.pathname, response, address);
      }
      return response;
    },
  };
}

/** Serves only the page to which an authorization server sends a person back, for a command without a running program. */
export function callbackOnly({ fetch }: Web): (request: Request, address: () => string) => Promise<Response> {
  return async (request, address) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/connections/callback" || pathname.startsWith("/assets/")) return await fetch(request, address);
    return Response.json({ error: "whenthen is not running; only a command waits here" }, { status: 503 });
  };
}

/** Answers a request to a hook without the router and its middleware: no other route gets thousands of requests a second. */
async function answerHook(
  request: Request,
  url: Target,
  address: () => string,
  context: WebContext,
): Promise<Response> {
  const path = url.pathname.slice("/hooks".length);
  let isTaken = false;
  const response = closed(context) ?? await receive(request, url, context, () => isTaken = true);
  // A rule may reply with any status to an accepted request.
  if (isTaken) reportTaken(path, context);
  else if (response.status >= 400) {
    const reason = await context.refused.note(request, url.pathname, response, address);
    reportRefused(path, response.status, reason, context);
  }
  return response;
}

async function receive(request: Request, url: Target, context: WebContext, onTaken: () => void): Promise<Response> {
  try {
    return await receiveHook(request, url, context, onTaken);
  } catch (error) {
    return answerError(error, request, context);
  }
}

/** Answers that blame the sender of a request to a hook. */
const BLAMING = [400, 401, 405, 413, 415];
/** Minimum milliseconds that a hook counts as refusing: two senders, one with a wrong secret, cause one event. */
const LEAST_REFUSING = 600_000;

function reportRefused(path: string, status: number, reason: string, { hooks, ownEvents }: WebContext): void {
  const [found] = hooks.match(path);
  if (found && BLAMING.includes(status)) ownEvents.begin("hook", { path: found.hook.path }, reason, { status });
}

function reportTaken(taken: string, { clock, hooks, ownEvents }: WebContext): void {
  if (!ownEvents.holdsAny("hook")) return;
  const [found] = hooks.match(taken);
  const about = { path: found?.hook.path ?? taken };
  const since = ownEvents.since("hook", about);
  if (since !== undefined && clock.now() - since > LEAST_REFUSING) ownEvents.end("hook", about);
}

/** The target of a request for a hook, as nearly all are: without a query and escapes, its URL need not be parsed. */
function plainHook({ url, headers }: Request): Target | undefined {
  const host = headers.get("host");
  if (host === null || !/^[\w.:[\]-]+$/.test(host)) return undefined;
  const base = `http://${host}`;
  if (!url.startsWith("/hooks/", base.length) || !url.startsWith(base)) return undefined;
  const pathname = url.slice(base.length);
  return /^[\w/-]+$/.test(pathname) ? { pathname, search: "" } : undefined;
}

/**
 * The URL of a request, or undefined if it is invalid. Without a `Host`, as HTTP/1.0 allows, a host may give only the path;
 * for an invalid `Host` Bun gives another one.
 */
function urlOf({ url, headers }: Request): URL | undefined {
  const host = headers.get("host");
  if (host && !URL.canParse(`http://${host}`)) return undefined;
  return URL.parse(url.startsWith("/") ? `http://localhost${url}` : url) ?? undefined;
}

function closed(context: WebContext): Response | undefined {
  const phase = context.phase();
  if (phase === "ready") return undefined;
  const headers = { "retry-after": RETRY_AFTER };
  return Response.json({ error: `The program is ${phase}` }, { status: 503, headers });
}

function answerError(error: unknown, request: Request, context: WebContext): Response {
  if (error instanceof HTTPException) return error.getResponse();
  if (error instanceof UsageError) return Response.json({ error: context.mask(error.message) }, { status: 400 });
  const retryAfter = retryAfterOf(error);
  if (retryAfter !== undefined) {
    const headers = { "retry-after": retryAfter };
    return Response.json({ error: context.mask(messageOf(error)) }, { status: 503, headers });
  }
  if (error instanceof NotEndedError) return Response.json({ error: error.message }, { status: 409 });
  context.onError(`Cannot answer ${request.method} ${urlOf(request)?.pathname}`, error);
  return Response.json({ error: "Something went wrong; the program's log says what" }, { status: 500 });
}
