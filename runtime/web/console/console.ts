import { type Context, Hono } from "hono";
import { NotEndedError } from "../../engine/other_replicas.ts";
import { UsageError } from "../../model/errors.ts";
import { RETRY_AFTER, retryAfterOf } from "../answer.ts";
import type { WebContext } from "../context.ts";
import { formPages } from "../forms/forms.ts";
import { assetFor } from "./assets.ts";
import { addCommand } from "./command_page.ts";
import { addCommands, lookForCommandRuns } from "./commands.ts";
import { addBulk } from "./bulk.ts";
import { addConfig } from "./config_page.ts";
import {
  addConnectionCallback,
  addConnections,
  addHandshakes,
  lookForAttempt,
  lookForConnections,
} from "./connections.ts";
import { addEvent } from "./event_page.ts";
import { addEvents, lookForEvents } from "./events.ts";
import { addFleetTask } from "./fleet_task.ts";
import { addFleets, lookForDevice, lookForFleet, lookForFleets } from "./fleets.ts";
import { addGo } from "./search.ts";
import { addHelp } from "./words.ts";
import { addLive } from "./live.ts";
import { addOverview } from "./overview.ts";
import { addReplicas } from "./replicas.ts";
import { addRule } from "./rule_page.ts";
import { addRun } from "./run_page.ts";
import { lookForOutput } from "./run_output.ts";
import { addRules } from "./rules.ts";
import { addRuns, lookForRuns } from "./runs.ts";
import { notice, page } from "./shell.ts";
import { addStart } from "./start_page.ts";
import { type ConsoleEnv, isForOwnRun, letIn, sessionViewer, wantsPage } from "./viewer.ts";

/**
 * The pages for people: forms and console. Loaded on the first request for one. Each page is a file with a function
 * that adds its routes; `viewer` is the person who requests the page.
 */
export function consolePages(context: WebContext): Hono<ConsoleEnv> {
  const app = new Hono<ConsoleEnv>();
  app.onError((error, c) => failed(error, c, context));
  app.get("/assets/*", async (c) => await assetFor(c) ?? c.json({ error: "There is nothing at this path" }, 404));
  app.use(async (c, next) => {
    if (context.phase() === "ready" || c.req.method === "GET") return await next();
    const text = "The program is being started or stopped. Try again in a moment.";
    return page(c, context, notice("Not now", text), 503, { "retry-after": RETRY_AFTER });
  });
  app.route("/forms", formPages(context));

  addConnectionCallback(app, context);

  // All routes below have a viewer.
  app.use(letIn(context));
  addHelp(app, context);
  addStart(app, context);
  addConfig(app, context);
  addCommands(app, context);
  addCommand(app, context);
  addFleets(app, context);
  addFleetTask(app, context);
  app.use(async (c, next) => {
    if (c.get("viewer").isOperator || await isForOwnRun(c, context)) return await next();
    if (c.req.path === "/") return c.redirect("/forms", 303);
    return page(c, context, notice("Only for operators", "This page is for members of the group operators."), 403);
  });
  addOverview(app, context);
  addRules(app, context);
  addRule(app, context);
  addEvents(app, context);
  addEvent(app, context);
  addBulk(app, context);
  addRuns(app, context);
  addRun(app, context);
  addHandshakes(app, context);
  addConnections(app, context);
  addReplicas(app, context);
  addGo(app, context);
  addLive(app, context, {
    events: lookForEvents,
    runs: lookForRuns,
    run: lookForOutput,
    command: lookForCommandRuns,
    fleets: lookForFleets,
    fleet: lookForFleet,
    device: lookForDevice,
    connections: lookForConnections,
    attempt: lookForAttempt,
  });
  app.all("*", (c) => {
    if (!wantsPage(c)) return c.json({ error: "There is nothing at this path" }, 404);
    return page(c, context, notice("There is nothing here", "The address is wrong, or too old."), 404);
  });
  return app;
}

async function failed(error: Error, c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  if (c.get("viewer") === undefined) {
    const viewer = await sessionViewer(c, context).catch(() => undefined);
    if (viewer !== undefined) c.set("viewer", viewer);
  }
  const retryAfter = retryAfterOf(error);
  if (retryAfter !== undefined) {
    const text = "The program cannot take in anything at the moment. Try again in a while.";
    return page(c, context, notice("Not now", text), 503, { "retry-after": retryAfter });
  }
  if (error instanceof UsageError) return page(c, context, notice("Not possible", error.message), 400);
  if (error instanceof NotEndedError) return page(c, context, notice("Not ended yet", error.message), 409);
  context.onError(`Cannot answer ${c.req.method} ${c.req.path}`, error);
  return page(c, context, notice("Something went wrong", "The program's log says what."), 500);
}
