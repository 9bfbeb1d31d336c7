import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { UsageError } from "../model/errors.ts";
import { StoreFullError } from "../store/store.ts";
import { guard } from "./access.ts";
import { api } from "./api.ts";
import type { WebContext } from "./context.ts";
import { receiveEvent } from "./events.ts";
import { formsApi } from "./forms/api.ts";
import { formPages } from "./forms/forms.ts";
import { homePage } from "./home.ts";
import { receiveHook } from "./hooks.ts";
import { startApi } from "./start.ts";
import { securityHeaders } from "./security_headers.ts";

/** The HTTP interface of the program. */
export interface Web {
  /** @param address of the sender; absent for requests within the process */
  fetch(request: Request, address?: () => string): Promise<Response>;
}

/** Seconds after which a sender should retry while intake is closed. */
const RETRY_AFTER = "5";

/** The HTTP side of the program: hooks, events, forms, API, health, metrics, the page. */
export function createWeb(context: WebContext): Web {
  const app = new Hono();
  app.onError((error, c) => answerError(error, c.req.raw, context));
  app.notFound((c) => c.json({ error: "There is nothing at this path" }, 404));

  app.get("/healthz", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => {
    const phase = context.phase();
    const isRefusing = phase === "ready" && context.store.refusal() !== undefined;
    const state = isRefusing ? "writes to the disk fail" : phase;
    return state === "ready" ? c.text("ready\n") : c.text(`${state}\n`, 503, { "retry-after": RETRY_AFTER });
  });

  app.use(securityHeaders());
  app.route("/forms", formPages(context));
  app.route("/api/forms", formsApi(context));
  app.route("/api", startApi(context));

  // All routes below need a token, or a request from this machine.
  app.use(guard(context));
  app.post("/events", (c) => closed(context) ?? receiveEvent(c, context));
  app.get("/metrics", async (c) => {
    const { body, contentType } = await context.metrics.expose();
    return c.body(context.mask(body), 200, { "content-type": contentType });
  });
  app.route("/api", api(context));
  app.get("/", async (c) => c.html(await homePage(context)));
  return {
    async fetch(request, address) {
      const url = urlOf(request);
      if (url === undefined) return Response.json({ error: "The header Host names no host" }, { status: 400 });
      // Not through the router and its middleware: no other route gets thousands of requests a second.
      if (/^\/hooks(\/|$)/.test(url.pathname)) return closed(context) ?? await answerHook(request, url, context);
      return await app.fetch(URL.canParse(request.url) ? request : new Request(url, request), { address });
    },
  };
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

async function answerHook(request: Request, url: URL, context: WebContext): Promise<Response> {
  try {
    return await receiveHook(request, url, context);
  } catch (error) {
    return answerError(error as Error, request, context);
  }
}

function closed(context: WebContext): Response | undefined {
  const phase = context.phase();
  if (phase === "ready") return undefined;
  const headers = { "retry-after": RETRY_AFTER };
  return Response.json({ error: `The program is ${phase}` }, { status: 503, headers });
}

function answerError(error: Error, request: Request, context: WebContext): Response {
  if (error instanceof HTTPException) return error.getResponse();
  if (error instanceof UsageError) return Response.json({ error: context.mask(error.message) }, { status: 400 });
  if (error instanceof StoreFullError) {
    const headers = { "retry-after": String(error.retryAfter) };
    return Response.json({ error: context.mask(error.message) }, { status: 503, headers });
  }
  context.onError(`Cannot answer ${request.method} ${urlOf(request)?.pathname}`, error);
  return Response.json({ error: "Something went wrong; the program's log says what" }, { status: 500 });
}
