import { Hono } from "hono";
import { z } from "zod";
import { checkValues, sayProblem } from "../language/fields/check_values.ts";
import { exactDuration, parseDuration } from "../model/duration.ts";
import {
  DEVICE_STATES,
  type DeviceState,
  type DeviceView,
  type FleetSummary,
  type FleetTask,
  type Recipients,
  type TaskResults,
} from "../model/fleet.ts";
import { isAmong, type Person } from "../model/form.ts";
import { asJson, isObject, type Json, type JsonObject } from "../model/json.ts";
import { TASK_STEP, type TaskByHand, taskRuleId } from "../folder/task_rule.ts";
import { startRule } from "../ingest/start_rule.ts";
import type { RunState } from "../model/run.ts";
import type { Receipt, Trace } from "../store/store.ts";
import { type Asking, personOrOperator } from "./access.ts";
import { answerInvalid, answerJson, answerMasked, answerRefusal, eventAnswer, refuseUse } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { isOperator } from "./forms/people.ts";
import { bodyOf, personName, queryOf, SOMEBODY } from "./request.ts";

/** One fleet in the listing. */
export interface FleetListing {
  id: string;
  name?: string;
  help?: string;
  total: number;
  counts: Record<DeviceState, number>;
  /** Why its inventory cannot be read, or its workers do not start; null if all is well. */
  problem: string | null;
  tasks: Pick<FleetTask, "name" | "title" | "help" | "inputs" | "to">[];
}

const MOST = 1_000;
export const DEVICES = z.strictObject({
  fleet: z.string().min(1).optional(),
  state: z.enum(DEVICE_STATES).optional(),
  tag: z.string().min(1).optional(),
  name: z.string().min(1).optional().describe("A part of the name"),
  after: z.string().optional().describe("The next page: devices after this name"),
  limit: z.coerce.number().int().min(1).max(MOST).default(100),
});
const name = z.string().min(1);
export const TASK = z.strictObject({
  task: name,
  to: z.union([name, z.array(name), z.strictObject({ tags: z.array(name) })], {
    error: "expected a name, a list of names, { tags: […] } or all",
  }),
  inputs: z.record(z.string(), z.custom<Json>()).default({}),
  max: z.int().min(1).optional(),
  timeout: z.string().refine((text) => parseDuration(text) !== undefined, { error: "expected a duration such as 30s" })
    .optional(),
  by: personName.default(SOMEBODY),
});
export const DEVICE = z.strictObject({ fleet: name, name });
export const ONE_DEVICE = z.strictObject({ fleet: name.optional(), name });
const TASKS = "/fleets/:id{.+}/tasks";
const TASK_RUN = "/tasks/:run";

/**
 * `/api/fleets/<id>/tasks`: sends a task of a fleet, for operators and for the people in their `to`. `/api/tasks/<run>`: what its
 * devices have answered, for operators and for who sent it.
 */
export function tasksApi(context: WebContext): Hono<Asking> {
  const app = new Hono<Asking>();
  app.use(TASKS, personOrOperator(context));
  app.post(TASKS, async (c) => {
    const person = c.get("person");
    const { by, timeout, ...given } = await bodyOf(c, TASK);
    const order = { ...given, ...timeout !== undefined && { timeout: parseDuration(timeout)! } };
    const sent = await sendByHand(context, c.req.param("id"), order, { by: person?.id ?? by, person });
    if (sent.kind === "sent") return answerJson(c, asJson(eventAnswer([sent.receipt])), 202);
    if (sent.kind === "absent") return answerRefusal(c, context, person ? 403 : 404, sent.error);
    return answerInvalid(c, context, "The inputs are", sent.problems);
  });
  app.use(TASK_RUN, personOrOperator(context));
  app.get(TASK_RUN, async (c) => {
    const id = c.req.param("run");
    const trace = await context.store.getRun(id);
    const person = c.get("person");
    const isVisible = person === undefined || isOperator(person) || trace?.run.event.by === person.id;
    const isTask = trace !== undefined && context.rules().startable.get(trace.run.rule)?.fleet !== undefined;
    if (isVisible && isTask) return answerMasked(c, context, sentTask(trace));
    return answerRefusal(c, context, 404, `There is no task "${id}" that was sent by hand`);
  });
  return app;
}

/** A task that was sent by hand. */
export interface SentTask extends Pick<TaskResults, "total" | "failed" | "results"> {
  run: string;
  state: RunState;
  /** Why the run failed: how many devices failed, or why the task could not be sent. */
  error?: string;
}

/** Of a run that goes on, there are no results yet. */
function sentTask({ run: { id, state, error }, steps }: Trace): SentTask {
  const output = steps.find(({ path }) => path === TASK_STEP)?.output as TaskResults | null | undefined;
  const { total, failed, results } = output ?? { total: 0, failed: 0, results: [] };
  return { run: id, state, ...error && { error: error.message }, total, failed, results };
}

/** `/api/fleets`, `/api/devices` and `/api/device`, for operators. */
export function fleetsApi(context: WebContext): Hono {
  const { fleets } = context;
  const app = new Hono();
  app.get("/fleets", (c) => answerMasked(c, context, fleets.list().map(listed)));
  app.get("/fleets/:id{.+}", (c) => {
    const found = fleets.get(c.req.param("id"));
    if (found !== undefined) return answerMasked(c, context, listed(found));
    return answerRefusal(c, context, 404, absentFleet(c.req.param("id"), context, undefined));
  });
  app.get("/device", async (c) => {
    const { fleet, name } = queryOf(c, ONE_DEVICE);
    const ids = fleet === undefined ? fleets.list().map(({ fleet }) => fleet.id) : [fleet];
    const found = (await Promise.all(ids.map((id) => fleets.device(id, name)))).filter((each) => each !== undefined);
    if (found.length === 1) return answerMasked(c, context, await detailOf(context, found[0]));
    const where = fleet === undefined ? "" : ` in the fleet "${fleet}"`;
    if (found.length === 0) return answerRefusal(c, context, 404, `There is no device "${name}"${where}`);
    const having = found.map((each) => each.fleet).join(", ");
    return answerRefusal(c, context, 409, `Several fleets have a device "${name}": ${having}; say which fleet`);
  });
  app.post("/device/again", async (c) => {
    const { fleet, name } = await bodyOf(c, DEVICE);
    return answerJson(c, { again: await fleets.again(fleet, name) });
  });
  app.get("/devices", async (c) => {
    const { fleet, state, tag, limit, ...search } = queryOf(c, DEVICES);
    const found: DeviceView[] = [];
    for (const id of fleet === undefined ? fleets.list().map(({ fleet }) => fleet.id) : [fleet]) {
      const { devices } = await fleets.devices(id, {
        ...search,
        ...state !== undefined && { states: [state] },
        ...tag !== undefined && { tags: [tag] },
        max: limit - found.length,
      });
      found.push(...devices);
      if (found.length >= limit) break;
    }
    return answerMasked(c, context, found);
  });
  return app;
}

/** One device with what has happened to it, newest first. */
export interface DeviceDetail extends DeviceView {
  events: DeviceEvent[];
  tasks: DeviceTask[];
}

/** An event of a device that is stored, as a rule listens to it. */
interface DeviceEvent {
  key: string;
  /** Without `whenthen.device.`. */
  type: string;
  /** Milliseconds since the epoch. */
  at: number;
  error?: string;
}

/** A run that somebody has started to send a device alone a task. */
interface DeviceTask {
  run: string;
  task: string;
  state: RunState;
  /** Milliseconds since the epoch. */
  at: number;
}

/** How many events and tasks of a device are shown. */
const SHOWN = 20;
const EVENT_PREFIX = "whenthen.device.";

/** Adds what has happened to a device. */
export async function detailOf({ store }: Pick<WebContext, "store">, device: DeviceView): Promise<DeviceDetail> {
  const search = { subject: device.device, limit: 5 * SHOWN };
  const [found, { rows }] = await Promise.all([store.listEvents(search), store.searchRunHeads(search)]);
  const events = found.flatMap(({ key, event: { type, time, data } }): DeviceEvent[] => {
    if (!type.startsWith(EVENT_PREFIX) || !isObject(data) || data.fleet !== device.fleet) return [];
    const { error } = data;
    const at = Date.parse(time);
    return [{ key, type: type.slice(EVENT_PREFIX.length), at, ...typeof error === "string" && { error } }];
  });
  const prefix = taskRuleId(device.fleet, "");
  const tasks = rows.filter(({ rule }) => rule.startsWith(prefix)).map(({ id, rule, state, createdAt }): DeviceTask => {
    return { run: id, task: rule.slice(prefix.length), state, at: createdAt };
  });
  return { ...device, events: events.slice(0, SHOWN), tasks: tasks.slice(0, SHOWN) };
}

/** A task that somebody sends by hand. */
export interface HandOrder {
  task: string;
  to: Recipients;
  inputs: JsonObject;
  max?: number;
  /** Milliseconds. */
  timeout?: number;
}

/** The outcome. A person gets the same answer for a fleet that does not exist and for one that they may not use. */
export type SentByHand =
  | { kind: "sent"; receipt: Receipt }
  | { kind: "absent"; error: string }
  | { kind: "invalid"; problems: Record<string, string> };

/**
 * Sends a task by hand: starts a run that sends it.
 * @param by who, for the run; `person` is absent for an operator without an account
 * @throws StoreFullError
 */
export async function sendByHand(
  context: WebContext,
  id: string,
  { task, to, max = 100, timeout, inputs: given }: HandOrder,
  { by, person }: { by: string; person?: Person },
): Promise<SentByHand> {
  const { fleets, clock, ingest } = context;
  const found = fleets.get(id);
  const known = tasksFor(found, person);
  const chosen = known.find(({ name }) => name === task);
  if (found === undefined || (known.length === 0 && person)) {
    return { kind: "absent", error: absentFleet(id, context, person) };
  }
  const there = known.map(({ name }) => name).join(", ") || "none";
  const absent: SentByHand = { kind: "absent", error: `${id} has no task "${task}" for ${by}; there are: ${there}` };
  if (chosen === undefined) return absent;
  const { values: inputs, problems } = checkValues(chosen.inputs, given);
  if (problems.length > 0) {
    return { kind: "invalid", problems: Object.fromEntries(problems.map((each) => [each.key, sayProblem(each)])) };
  }
  const isOne = typeof to === "string" && to !== "all";
  const data: TaskByHand = { to: isOne ? [to] : to, inputs, max, timeout: exactDuration(timeout ?? chosen.timeout) };
  const started = await startRule({ clock, ingest, rules: context.rules().startable }, taskRuleId(id, task), {
    by,
    ...person && { person },
    data: asJson(data),
    ...isOne && { subject: to },
  });
  return started.kind === "accepted" ? { kind: "sent", receipt: started.receipt } : absent;
}

/** The tasks that somebody may send. @param person absent for an operator without an account */
export function tasksFor(found: FleetSummary | undefined, person: Person | undefined): FleetTask[] {
  const all = Object.values(found?.fleet.tasks ?? {});
  if (person === undefined || isOperator(person)) return all;
  return all.filter(({ to = [] }) => isAmong(to, person));
}

function absentFleet(id: string, { fleets }: WebContext, person: Person | undefined): string {
  const known = fleets.list().filter((found) => person === undefined || tasksFor(found, person).length > 0);
  return refuseUse(person, {
    absent: `There is no fleet "${id}"`,
    verb: "send tasks to",
    what: `a fleet "${id}"`,
    known: known.map(({ fleet }) => fleet.id),
  }).error;
}

function listed({ fleet, total, counts, problem }: FleetSummary): FleetListing {
  const { id, name, help, tasks } = fleet;
  return {
    id,
    ...name !== undefined && { name },
    ...help !== undefined && { help },
    total,
    counts,
    problem,
    tasks: Object.values(tasks).map(listedTask),
  };
}

function listedTask({ name, title, help, inputs, to }: FleetTask): FleetListing["tasks"][number] {
  return {
    name,
    ...title !== undefined && { title },
    ...help !== undefined && { help },
    inputs,
    ...to !== undefined && { to },
  };
}
