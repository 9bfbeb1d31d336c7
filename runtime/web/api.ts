import { type Context, Hono } from "hono";
import { z } from "zod";
import { newId } from "../model/id.ts";
import type { Json } from "../model/json.ts";
import type { RunState } from "../model/run.ts";
import type { Receipt } from "../store/store.ts";
import { type EventAnswer, eventAnswer } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { complete } from "./events.ts";
import { bodyOf, queryOf } from "./given.ts";
import { listRules } from "./rule_listing.ts";

/** What `POST /api/emit` answers: also what became of the event at each rule. */
export type EmitAnswer = EventAnswer & Pick<Receipt, "verdicts">;

const STATES = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"] as const satisfies RunState[];
const page = { limit: z.coerce.number().int().min(1).max(1_000).default(50), before: z.string().optional() };
const RUNS = z.strictObject({ ...page, rule: z.string().optional(), state: z.enum(STATES).optional() });
const EVENTS = z.strictObject({ ...page, rule: z.string().optional(), type: z.string().optional() });
const fact = { data: z.json().default(null), id: z.string().min(1).optional(), subject: z.string().min(1).optional() };
const EMIT = z.union([
  z.strictObject({ type: z.string().min(1), ...fact }),
  z.strictObject({ rule: z.string().min(1), ...fact }),
]);
const PAUSE = z.strictObject({ reason: z.string().min(1).default("paused by an operator") });

/** `/api`: what the command line and other programs read and do. */
export function api(context: WebContext): Hono {
  const app = new Hono();
  const answer = (c: Context, value: unknown) => c.json(context.maskJson(value as Json));
  const absent = (c: Context, what: string) => c.json({ error: context.mask(`There is no ${what}`) }, 404);

  app.get("/rules", async (c) => answer(c, await listRules(context)));
  app.get("/problems", (c) => answer(c, context.rules().problems));
  app.post("/rules/:id{.+}/pause", async (c) => {
    const id = c.req.param("id");
    if (!context.rules().rules.has(id)) return absent(c, `rule "${id}"`);
    const { reason } = await bodyOf(c, PAUSE);
    await context.pause(id, reason);
    return answer(c, { rule: id, paused: reason });
  });
  app.post("/rules/:id{.+}/resume", async (c) => {
    const id = c.req.param("id");
    const { rules, paused } = context.rules();
    if (!rules.has(id) && paused[id] === undefined) return absent(c, `rule "${id}"`);
    await context.pause(id, null);
    return answer(c, { rule: id, paused: null });
  });

  app.get("/events", async (c) => answer(c, await context.store.listEvents(queryOf(c, EVENTS))));
  app.get("/runs", async (c) => answer(c, await context.store.listRuns(queryOf(c, RUNS))));
  app.get("/runs/:id", async (c) => {
    const trace = await context.store.getRun(c.req.param("id"));
    return trace === undefined ? absent(c, `run "${c.req.param("id")}"`) : answer(c, trace);
  });
  app.post("/runs/:id/cancel", async (c) => {
    const id = c.req.param("id");
    const state = await context.cancel(id);
    return state === undefined ? absent(c, `run "${id}" that could be cancelled`) : answer(c, { run: id, state });
  });
  app.post("/runs/:id/replay", async (c) => {
    const run = await context.replay(c.req.param("id"));
    return run === undefined ? absent(c, `run "${c.req.param("id")}"`) : answer(c, { run });
  });

  app.post("/emit", async (c) => {
    const given = await bodyOf(c, EMIT);
    const receipt = "rule" in given
      ? await startByHand(given, context)
      : await context.ingest.publish(complete(given, context));
    return answer(c, { ...eventAnswer([receipt]), verdicts: receipt.verdicts } satisfies EmitAnswer);
  });
  return app;
}

function startByHand(given: { rule: string; data: Json; id?: string; subject?: string }, context: WebContext) {
  const { rule, data, id = newId(context.clock.now()), subject } = given;
  return context.ingest.trigger(rule, { id, data, ...subject !== undefined && { subject } });
}
