import { type Context, Hono } from "hono";
import { z } from "zod";
import { UsageError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import { RUN_STATES } from "../model/run.ts";
import { VERDICT_KINDS } from "../model/event.ts";
import type { Operated, Receipt } from "../store/store.ts";
import { answerMasked, answerRefusal, type EventAnswer, eventAnswer, RETRY_AFTER } from "./answer.ts";
import { commandsApi } from "./commands_api.ts";
import type { WebContext } from "./context.ts";
import { sentType } from "../triggers/cloud_event.ts";
import { complete } from "./cloud_events.ts";
import { configuredOf } from "./config_api.ts";
import { bodyOf, personName, queryOf, SOMEBODY } from "./request.ts";
import { listReplicas, UnlistedError } from "./replicas.ts";
import { faultOfRule, listRules } from "./rules_api.ts";

/** The answer of `POST /api/emit`: also the verdict of each rule, and the runs that the event woke. */
export type EmitAnswer = EventAnswer & Pick<Receipt, "verdicts" | "wakes">;

/** Rows of a listing, unless the query sets a limit. */
const PAGE = 50;
/** The most ids in a query, whose length is limited. */
export const MOST_IDS = 100;
const time = z.iso.datetime({ offset: true, error: "expected a time such as 2026-11-21T09:00:00Z" })
  .transform((text) => Date.parse(text));
const page = {
  limit: z.coerce.number().int().min(1).max(1_000).default(PAGE),
  before: z.string().optional().describe("The next page: rows before this id or key"),
  from: time.optional(),
  to: time.optional(),
  rule: z.string().optional(),
  subject: z.string().optional().describe("The subject of the event"),
};
export const RUNS = z.strictObject({
  ...page,
  after: z.string().optional().describe("Only runs that are newer than the run with this id"),
  ids: z.string().transform((text) => text.split(",")).pipe(z.array(z.string()).max(MOST_IDS)).optional()
    .describe("Only these, separated by commas; not together with times and cursors"),
  state: z.enum(RUN_STATES).optional(),
  waiting: z.stringbool().optional().describe("Only runs with waiting steps, each with what it waits for"),
});
export const EVENTS = z.strictObject({
  ...page,
  type: z.string().optional(),
  verdict: z.enum([...VERDICT_KINDS, "unmatched"]).optional(),
  text: z.string().min(1).optional().describe("A text in the event's JSON; upper and lower case differ"),
  id: z.string().min(1).optional().describe("The id that its sender gave it"),
});

const fact = {
  data: z.custom<Json>().default(null),
  id: z.string().min(1).optional(),
  subject: z.string().min(1).optional(),
};
export const EMITTED = z.strictObject({ type: sentType, ...fact });
const EMIT = z.union([
  EMITTED,
  // The spelling until version 0.4; the answer names the new spelling.
  z.looseObject({ rule: z.string().min(1) }),
]);
export const OPERATION = z.strictObject({ by: personName.default(SOMEBODY) });
export const SKIP = OPERATION.extend({ step: z.string().min(1).optional() });
export const PAUSE = z.strictObject({ reason: z.string().min(1).optional(), by: personName.optional() });

/** `/api`: for the command line and other programs. */
export function api(context: WebContext): Hono {
  const app = new Hono();
  addRules(app, context);
  addRuns(app, context);
  addReplicas(app, context);
  app.route("/commands", commandsApi(context));
  app.get("/events", async (c) => {
    const query = queryOf(c, EVENTS);
    const fault = await faultOfRule(context, query.rule);
    if (fault !== undefined) return answerRefusal(c, context, 404, fault);
    const rows = await context.store.listEvents({ ...query, mask: context.mask });
    return listing(c, context, rows, query, ({ key }) => key);
  });
  app.post("/emit", async (c) => {
    const given = await bodyOf(c, EMIT);
    if ("rule" in given) throw new UsageError(`A rule is started by POST /api/rules/${given.rule}/start`);
    const receipt = await context.ingest.publish(complete(given, context));
    const { verdicts, wakes } = receipt;
    return answerMasked(c, context, { ...eventAnswer([receipt]), verdicts, wakes } satisfies EmitAnswer);
  });
  return app;
}

function addRules(app: Hono, context: WebContext): void {
  const { operators } = context;
  const rules = () => context.rules();
  app.get("/rules", async (c) => answerMasked(c, context, await listRules(context)));
  app.get("/problems", (c) => answerMasked(c, context, rules().problems));
  app.post("/rules/:id{.+}/pause", async (c) => {
    const id = c.req.param("id");
    if (!rules().rules.has(id)) return absent(c, context, `rule "${id}"`);
    const { reason, by } = await bodyOf(c, PAUSE);
    const says = reason !== undefined && by !== undefined ? `${reason} (${by})` : reason;
    const paused = says ?? `paused by ${by ?? SOMEBODY}`;
    await operators.pause(id, paused, by ?? SOMEBODY);
    return answerMasked(c, context, { rule: id, paused });
  });
  app.post("/rules/:id{.+}/resume", async (c) => {
    const id = c.req.param("id");
    const { rules: inForce, paused } = rules();
    if (!inForce.has(id) && paused[id] === undefined) return absent(c, context, `rule "${id}"`);
    await operators.resume(id, (await bodyOf(c, OPERATION)).by);
    return answerMasked(c, context, { rule: id, paused: null });
  });
}

function addRuns(app: Hono, context: WebContext): void {
  const { store, operators } = context;
  app.get("/runs", async (c) => {
    const query = queryOf(c, RUNS);
    const fault = await faultOfRule(context, query.rule);
    if (fault !== undefined) return answerRefusal(c, context, 404, fault);
    return listing(c, context, await store.listRuns(query), query, ({ id }) => id);
  });
  app.get("/runs/:id", async (c) => {
    const id = c.req.param("id");
    const trace = await store.getRun(id);
    if (trace === undefined) return absent(c, context, `run "${id}"`);
    const configured = await configuredOf(context, trace.run);
    return answerMasked(c, context, { ...trace, ...configured.length > 0 && { configured } });
  });
  app.post("/runs/:id/cancel", async (c) => {
    const id = c.req.param("id");
    const state = await operators.cancel(id, (await bodyOf(c, OPERATION)).by);
    if (state === undefined) return absent(c, context, `run "${id}" that could be cancelled`);
    return answerMasked(c, context, { run: id, state });
  });
  app.post("/runs/:id/replay", async (c) => {
    const id = c.req.param("id");
    const run = await operators.replay(id, (await bodyOf(c, OPERATION)).by);
    return run === undefined ? absent(c, context, `run "${id}"`) : answerMasked(c, context, { run });
  });

  const operated = (c: Context, operated: Operated | undefined) => {
    const run = c.req.param("id");
    if (operated === undefined) return absent(c, context, `run "${run}"`);
    if (operated.kind === "refused") return answerRefusal(c, context, 409, operated.reason);
    return answerMasked(c, context, { run, ...operated.step !== undefined && { step: operated.step } });
  };
  app.post("/runs/:id/retry", async (c) => {
    const { by } = await bodyOf(c, OPERATION);
    return operated(c, await operators.retry(c.req.param("id"), by));
  });
  app.post("/runs/:id/skip", async (c) => {
    const { by, step } = await bodyOf(c, SKIP);
    return operated(c, await operators.skip(c.req.param("id"), step, by));
  });
  app.post("/runs/:id/move", async (c) => {
    const { by } = await bodyOf(c, OPERATION);
    return operated(c, await operators.move(c.req.param("id"), by));
  });
}

/** The programs that work on the database; none over a data folder. */
function addReplicas(app: Hono, context: WebContext): void {
  const { replicas } = context;
  app.get("/replicas", async (c) => {
    try {
      return answerMasked(c, context, replicas === undefined ? [] : await listReplicas(replicas));
    } catch (error) {
      if (!(error instanceof UnlistedError)) throw error;
      c.header("retry-after", RETRY_AFTER);
      return answerRefusal(c, context, 503, error.message);
    }
  });
}

/** The rows, with a link to the next page if there may be one (RFC 8288). */
function listing<T extends object>(
  c: Context,
  context: WebContext,
  rows: T[],
  { limit }: { limit: number },
  idOf: (row: T) => string,
): Response {
  if (rows.length === limit) {
    const query = new URLSearchParams({ ...c.req.query(), before: idOf(rows[rows.length - 1]) });
    c.header("link", `<${c.req.path}?${query}>; rel="next"`);
  }
  return answerMasked(c, context, rows);
}

function absent(c: Context, context: WebContext, what: string): Response {
  return answerRefusal(c, context, 404, `There is no ${what}`);
}
