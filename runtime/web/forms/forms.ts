import { type Context, Hono } from "hono";
import { StoreFullError } from "../../store/store.ts";
import type { WebContext } from "../context.ts";
import { addFormRoutes } from "./form_routes.ts";
import { notice } from "./notices.ts";
import { respond } from "./respond.ts";
import { addSessionRoutes } from "./session_routes.ts";

/** Seconds after which people should retry while the program starts or stops. */
const RETRY_AFTER = "5";

/**
 * `/forms`: the pages on which people answer. Everybody who can reach the port may open them; a session or a link
 * identifies the person.
 */
export function formPages(context: WebContext): Hono {
  const app = new Hono();
  app.onError((error, c) => failed(error, c, context));
  app.use(async (c, next) => {
    if (context.phase() === "ready" || c.req.method === "GET") return await next();
    return respond(
      c,
      context,
      notice("Not now", "The program is being started or stopped. Try again in a moment."),
      503,
      {
        "retry-after": RETRY_AFTER,
      },
    );
  });
  addSessionRoutes(app, context);
  addFormRoutes(app, context);
  app.all("/*", (c) => respond(c, context, notice("There is nothing here", "The address is wrong, or too old."), 404));
  return app;
}

function failed(error: Error, c: Context, context: WebContext) {
  if (error instanceof StoreFullError) {
    const page = notice("Not now", "The program cannot accept anything at the moment. Try again later.");
    return respond(c, context, page, 503, { "retry-after": String(error.retryAfter) });
  }
  context.onError(`Cannot answer ${c.req.method} ${c.req.path}`, error);
  return respond(c, context, notice("Something went wrong", "The program's log says what."), 500);
}
