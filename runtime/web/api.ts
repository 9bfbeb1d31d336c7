import { type Context, Hono } from "hono";
import { z } from "zod";
import { UsageError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import { RUN_STATES } from "../model/run.ts";
import { VERDICT_KINDS } from "../model/event.ts";
import type { Operated, Receipt } from "../store/store.ts";
import { answerJson, type EventAnswer, eventAnswer } from "./answer.ts";
import { commandsApi } from "./commands_api.ts";
import type { WebContext } from "./context.ts";
import { sentType } from "../triggers/cloud_event.ts";
import { complete } from "./cloud_events.ts";
import { configuredOf } from "./config_api.ts";
import { bodyOf, queryOf } from "./request.ts";
import { listRules } from "./rules_api.ts";

/** The answer of `POST /api/emit`: also the verdict of each rule, and the runs that the event woke. */
export type EmitAnswer = EventAnswer & Pick<Receipt, "verdicts" | "wakes">;

const time = z.iso.datetime({ offset: true, error: "expected a time such as 2026-11-21T09:00:00Z" })
  .transform((text) => Date.parse(text));
const page = {
  limit: z.coerce.number().int().min(1).max(1_000).default(50),
  before: z.string().optional(),
  from: time.optional(),
  to: time.optional(),
  rule: z.string().optional(),
  subject: z.string().optional(),
};
const RUNS = z.strictObject({
  ...page,
  state: z.enum(RUN_STATES).optional(),
  /** Only runs with waiting steps, each with what it waits for. */
  waiting: z.stringbool().optional(),
});
const EVENTS = z.strictObject({
  ...page,
  type: z.string().optional(),
  verdict: z.enum([...VERDICT_KINDS, "unmatched"]).optional(),
  text: z.string().min(1).optional(),
});

const fact = {
  data: z.custom<Json>().default(null),
  id: z.string().min(1).optional(),
  subject: z.string().min(1).optional(),
};
const EMIT = z.union([
  z.strictObject({ type: sentType, ...fact }),
  // The spelling until version 0.4; the answer names the new spelling.
  z.looseObject({ rule: z.string().min(1) }),
]);
/** Who sent the request, as recorded in notes. */
const by = z.string().trim().min(1).max(100);
const SOMEBODY = "an operator";
const OPERATION = z.strictObject({ by: by.default(SOMEBODY) });
const SKIP = OPERATION.extend({ step: z.string().min(1).optional() });
const PAUSE = z.strictObject({ reason: z.string().min(1).optional(), by: by.optional() });

/** `/api`: for the command line and other programs. */
export function api(context: WebContext): Hono {
  const app = new Hono();
  const answer = (c: Context, value: unknown) => answerJson(c, context.maskJson(value as Json));
  const absent = (c: Context, what: string) => c.json({ error: context.mask(`There is no ${what}`) }, 404);

  /** The rows, with a link to the next page if there may be one (RFC 8288). */
  const listing = <T>(c: Context, rows: T[], idOf: (row: T) => string) => {
    if (rows.length === Number(c.req.query("limit") ?? 50)) {
      const query = new URLSearchParams({ ...c.req.query(), before: idOf(rows[rows.length - 1]) });
      c.header("link", `<${c.req.path}?${query}>; rel="next"`);
    }
    return answer(c, rows);
  };

  const operated = (c: Context, operated: Operated | undefined) => {
    const run = c.req.param("id");
    if (operated === undefined) return absent(c, `run "${run}"`);
    if (operated.kind === "refused") return c.json({ error: context.mask(operated.reason) }, 409);
    return answer(c, { run, ...operated.step !== undefined && { step: operated.step } });
  };

  app.get("/rules", async (c) => answer(c, await listRules(context)));
  app.get("/problems", (c) => answer(c, context.rules().problems));
  app.post("/rules/:id{.+}/pause", async (c) => {
    const id = c.req.param("id");
    if (!context.rules().rules.has(id)) return absent(c, `rule "${id}"`);
    const { reason, by } = await bodyOf(c, PAUSE);
    const says = reason !== undefined && by !== undefined ? `${reason} (${by})` : reason;
    const paused = says ?? `paused by ${by ?? SOMEBODY}`;
    await context.operators.pause(id, paused, by ?? SOMEBODY);
    return answer(c, { rule: id, paused });
  });
  app.post("/rules/:id{.+}/resume", async (c) => {
    const id = c.req.param("id");
    const { rules, paused } = context.rules();
    if (!rules.has(id) && paused[id] === undefined) return absent(c, `rule "${id}"`);
    await context.operators.resume(id, (await bodyOf(c, OPERATION)).by);
    return answer(c, { rule: id, paused: null });
  });

  app.route("/commands", commandsApi(context));

  app.get("/events", async (c) => {
    return listing(c, await context.store.listEvents({ ...queryOf(c, EVENTS), mask: context.mask }), ({ key }) => key);
  });
  app.get("/runs", async (c) => {
    return listing(c, await context.store.listRuns(queryOf(c, RUNS)), ({ id }) => id);
  });
  app.get("/runs/:id", async (c) => {
    const trace = await context.store.getRun(c.req.param("id"));
    if (trace === undefined) return absent(c, `run "${c.req.param("id")}"`);
    const configured = await configuredOf(context, trace.run);
    return answer(c, { ...trace, ...configured.length > 0 && { configured } });
  });
  app.post("/runs/:id/cancel", async (c) => {
    const id = c.req.param("id");
    const { by } = await bodyOf(c, OPERATION);
    const state = await context.operators.cancel(id, by);
    return state === undefined ? absent(c, `run "${id}" that could be cancelled`) : answer(c, { run: id, state });
  });
  app.post("/runs/:id/replay", async (c) => {
    const { by } = await bodyOf(c, OPERATION);
    const run = await context.operators.replay(c.req.param("id"), by);
    return run === undefined ? absent(c, `run "${c.req.param("id")}"`) : answer(c, { run });
  });
  app.post("/runs/:id/retry", async (c) => {
    const { by } = await bodyOf(c, OPERATION);
    return operated(c, await context.operators.retry(c.req.param("id"), by));
  });
  app.post("/runs/:id/skip", async (c) => {
    const { by, step } = await bodyOf(c, SKIP);
    return operated(c, await context.operators.skip(c.req.param("id"), step, by));
  });
  app.post("/runs/:id/move", async (c) => {
    const { by } = await bodyOf(c, OPERATION);
    return operated(c, await context.operators.move(c.req.param("id"), by));
  });

  app.post("/emit", async (c) => {
    const given = await bodyOf(c, EMIT);
    if ("rule" in given) throw new UsageError(`A rule is started by POST /api/rules/${given.rule}/start`);
    const receipt = await context.ingest.publish(complete(given, context));
    const { verdicts, wakes } = receipt;
    return answer(c, { ...eventAnswer([receipt]), verdicts, wakes } satisfies EmitAnswer);
  });
  return app;
}
