import { z } from "zod";
import { BATCH_TYPE, plainEvent, STRUCTURED_TYPE, structuredEvent } from "../../triggers/cloud_event.ts";
import { EMITTED, EVENTS, OPERATION, PAUSE, RUNS, SKIP } from "../api.ts";
import { CHECK } from "../commands_api.ts";
import { SET } from "../config_api.ts";
import { CONNECT, DISCONNECT, OPEN, PASTE, REMOVE } from "../connections_api.ts";
import { DEVICE, DEVICES, ONE_DEVICE, TASK } from "../fleets_api.ts";
import { ANSWER, FORMS } from "../forms_api.ts";
import { START } from "../rules_api.ts";
import * as answers from "./answers.ts";
import * as listings from "./listings.ts";

/** One route for programs. */
export interface Route {
  /** What clients that are generated call it. */
  id: string;
  method: "get" | "post" | "put" | "options";
  /** A name in braces may contain slashes, sent as they are or as %2F. */
  path: string;
  about: string;
  /** `person`: also the token of a person, who sees and does less. @default operator */
  access?: "operator" | "person" | "open";
  query?: z.ZodObject;
  /** The schema of a body in JSON, or one for each type. */
  body?: z.ZodType | Record<string, z.ZodType>;
  /** By status; null has no body. Every route also has those of {@link failuresOf}. */
  answers: Record<number, z.ZodType | null>;
  /** The type of the answers. @default application/json */
  type?: string;
  /** The headers of the answers that are no failures. */
  headers?: z.ZodObject;
  /** Further statuses of refusals. */
  fails?: number[];
}

const text = z.string();
const { run } = answers;
const at = z.object;
const operated = at({ run, step: text.optional() });
const rulePaused = at({ rule: text, paused: text.nullable() });
const next = z.object({ link: text.meta({ description: '`<…>; rel="next"`: the next page' }).optional() });
const etag = z.object({ etag: text.meta({ description: "The time of the last change, in quotes: the next `seen`" }) });
const events = z.union([answers.eventAnswer, answers.batchAnswer]);
const anything = z.unknown();
const taken = z.union([answers.eventAnswer, answers.batchAnswer, at({ looks: z.int() })]);
const wrongEvents = z.union([answers.invalidEvent, answers.batchAnswer]);
const config = z.array(listings.config);
const replicas = z.array(listings.replica);
const PERSON = { access: "person" } as const;
const consent = z.object({ "webhook-allowed-origin": text, "webhook-allowed-rate": text, allow: text });

const codeEntered = at({ connection: text, state: z.literal("connected") });
const disconnected = at({ connection: text, revoked: z.boolean(), reason: text.optional() });

const SEND_EVENT =
  "Sends a CloudEvent (also in binary mode, by `ce-` headers), a batch of them, or a plain event. 202 once it is " +
  "on disk, 200 if it was known, 422 if its values fit no rule";
const SEND_TO_HOOK =
  "A delivery to the webhooks on the path, which may have other methods, too. A rule with a `reply` answers with " +
  "any status, type and body. Without one: 202 once the event is on disk, 200 if it was known";
const CHECK_COMMAND = "The arguments for a set of values, or what is wrong with it. Nothing starts";

/** @param answer that of status 200; null has no body */
function route(
  method: Route["method"],
  id: string,
  path: string,
  about: string,
  answer: z.ZodType | null,
  more: Partial<Route> = {},
): Route {
  return { ...more, method, id, path, about, answers: { 200: answer, ...more.answers } };
}

const get = route.bind(undefined, "get");
const post = route.bind(undefined, "post");

/**
 * All routes for programs, with the answer of status 200. `test/web/openapi_test.ts` compares them with the router, and the answers of the program with
 * their schemas. Requests have the schemas with which they are read.
 */
export const ROUTES: Record<string, Route[]> = {
  Rules: [
    get("listRules", "/api/rules", "All rules", z.array(listings.rule)),
    get("listProblems", "/api/problems", "What is wrong in the rules folder", z.array(listings.problem)),
    get("getStart", "/api/rules/{id}/start", "What a start of the rule takes", listings.startable, {
      ...PERSON,
      fails: [404],
    }),
    post("startRule", "/api/rules/{id}/start", "Starts a rule by hand; 200 if `id` was known", answers.startAnswer, {
      ...PERSON,
      body: START,
      answers: { 202: answers.startAnswer, 422: answers.invalid },
      fails: [404],
    }),
    post("pauseRule", "/api/rules/{id}/pause", "Pauses a rule: its events start nothing", rulePaused, {
      body: PAUSE,
      fails: [404],
    }),
    post("resumeRule", "/api/rules/{id}/resume", "Ends a pause", rulePaused, { body: OPERATION, fails: [404] }),
    get("getConfig", "/api/rules/{id}/config", "The config of a rule, with where each value comes from", config, {
      ...PERSON,
      headers: etag,
      fails: [404],
    }),
    ...(["put", "post"] as const).map((method) => {
      const about = "Sets values of the config, all or none; null removes what was set so";
      return route(method, `${method}Config`, "/api/rules/{id}/config", about, config, {
        ...PERSON,
        body: SET,
        answers: { 409: answers.configConflict, 422: answers.invalid },
        headers: etag,
        fails: [404],
      });
    }),
  ],
  Events: [
    get("listEvents", "/api/events", "Events with their verdicts, newest first", z.array(answers.eventRecord), {
      query: EVENTS,
      headers: next,
      fails: [404],
    }),
    post("emitEvent", "/api/emit", "Sends an event, and answers with the verdicts", answers.emitAnswer, {
      body: EMITTED,
    }),
    post("sendEvent", "/events", SEND_EVENT, events, {
      body: {
        "application/json": z.union([plainEvent, structuredEvent]),
        [STRUCTURED_TYPE]: structuredEvent,
        [BATCH_TYPE]: z.array(structuredEvent),
      },
      answers: { 202: events, 422: wrongEvents },
    }),
    route("options", "askForConsent", "/events", "Consent for a sender that asks by `webhook-request-origin`", null, {
      headers: consent,
      answers: { 405: null },
    }),
    ...(["get", "post"] as const).map((method) => {
      return route(method, `${method}Hook`, "/hooks/{path}", SEND_TO_HOOK, taken, {
        access: "open",
        ...method === "post" && { body: { "*/*": anything } },
        answers: {
          202: taken,
          404: answers.noHook,
          422: wrongEvents,
          500: z.union([answers.failedReply, answers.refusal]),
        },
        fails: [401, 403, 405, 503],
      });
    }),
  ],
  Runs: [
    get("listRuns", "/api/runs", "Runs, newest first", z.array(answers.runHead), {
      query: RUNS,
      headers: next,
      fails: [404],
    }),
    get("getRun", "/api/runs/{id}", "A run with its steps", answers.runAnswer, { fails: [404] }),
    post("cancelRun", "/api/runs/{id}/cancel", "Ends a run", at({ run, state: answers.runState }), {
      body: OPERATION,
      fails: [404, 409],
    }),
    post("replayRun", "/api/runs/{id}/replay", "Starts a new run of the same event", at({ run }), {
      body: OPERATION,
      fails: [404],
    }),
    post("retryRun", "/api/runs/{id}/retry", "Resumes a failed run after its last good step", operated, {
      body: OPERATION,
      fails: [404, 409],
    }),
    post("skipWait", "/api/runs/{id}/skip", "Ends a wait of a run: that of `step`, or the only one", operated, {
      body: SKIP,
      fails: [404, 409],
    }),
    post("moveRun", "/api/runs/{id}/move", "Moves a queued or waiting run to the rule as it is now", operated, {
      body: OPERATION,
      fails: [404, 409],
    }),
  ],
  Forms: [
    get("listForms", "/api/forms", "Forms, oldest first; for a person, the person's", z.array(listings.form), {
      ...PERSON,
      query: FORMS,
    }),
    get("getForm", "/api/forms/{id}", "A form", listings.form, { ...PERSON, fails: [404] }),
    post("answerForm", "/api/forms/{id}", "Answers a form; with files as multipart", listings.form, {
      ...PERSON,
      body: { "application/json": ANSWER, "multipart/form-data": z.looseObject({ as: ANSWER.shape.as }) },
      answers: { 422: answers.invalid },
      fails: [404, 409],
    }),
  ],
  Commands: [
    get("listCommands", "/api/commands", "The command files", z.array(listings.listedCommand)),
    get("getCommand", "/api/commands/{id}", "A command with its inputs", listings.command, { fails: [404] }),
    post("checkCommand", "/api/commands/{id}/check", CHECK_COMMAND, listings.checkedCommand, {
      body: CHECK,
      fails: [404],
    }),
  ],
  Connections: [
    get("listConnections", "/api/connections", "The connections, without tokens", z.array(listings.connection)),
    post("connect", "/api/connections/{name}/connect", "Begins to connect: what a person does next", listings.begun, {
      body: CONNECT,
      fails: [409],
    }),
    get("getAttempt", "/api/connections/attempts/{id}", "How far an attempt to connect is", listings.attempt, {
      fails: [404],
    }),
    post("enterCode", "/api/connections/{name}/code", "A code, or the address of the last page", codeEntered, {
      body: PASTE,
      fails: [409],
    }),
    post("disconnect", "/api/connections/{name}/disconnect", "Forgets the tokens, and has them revoked", disconnected, {
      body: DISCONNECT,
      fails: [404],
    }),
    get("listHooks", "/api/hooks", "Webhooks that get their secrets by handshakes", z.array(listings.hook)),
    post("openHook", "/api/hooks/open", "Opens the webhooks of a rule for handshakes", z.array(listings.hook), {
      body: OPEN,
    }),
    post("removeSecret", "/api/hooks/remove", "Removes a secret, or all of a rule", at({ removed: z.int() }), {
      body: REMOVE,
      fails: [404],
    }),
  ],
  Fleets: [
    get("listFleets", "/api/fleets", "The fleets, with their counts of devices", z.array(listings.fleet)),
    get("getFleet", "/api/fleets/{id}", "A fleet", listings.fleet, { fails: [404] }),
    {
      ...PERSON,
      id: "sendTask",
      method: "post",
      path: "/api/fleets/{id}/tasks",
      about: "Sends a task to devices, by a run",
      body: TASK,
      answers: { 202: answers.eventAnswer, 422: answers.invalid },
      fails: [404],
    },
    get("getTask", "/api/tasks/{run}", "What the devices have answered to a task", listings.sentTask, {
      ...PERSON,
      fails: [404],
    }),
    get("listDevices", "/api/devices", "Devices, by name", z.array(listings.device), { query: DEVICES }),
    get(
      "getDevice",
      "/api/device",
      "A device, with what its platform says of it, its last events and tasks",
      listings.deviceDetail,
      {
        query: ONE_DEVICE,
        fails: [404, 409],
      },
    ),
    post("initDevice", "/api/device/again", "Initializes a dead or failed device now", at({ again: z.boolean() }), {
      body: DEVICE,
    }),
  ],
  Program: [
    get("isAlive", "/healthz", "It runs", text, { access: "open", type: "text/plain" }),
    get("isReady", "/readyz", "It accepts events", text, {
      access: "open",
      type: "text/plain",
      answers: { 503: text },
    }),
    get("getMetrics", "/metrics", "Metrics in the text format of Prometheus", text, { type: "text/plain" }),
    get("listReplicas", "/api/replicas", "The programs on the database; none over a data folder", replicas, {
      fails: [503],
    }),
    get("getOpenApi", "/api/openapi.json", "This document", z.looseObject({ openapi: z.literal("3.1.0") })),
  ],
};

/** The statuses of refusals: those that a route has by what it takes, and its own. */
export function failuresOf({ method, access, body, fails = [], answers }: Route): number[] {
  const guarded = access === "open" ? [] : [401, 403];
  const reading = body === undefined ? [] : [408, 413, 415];
  const writing = method === "get" ? [] : [503];
  const all = new Set([400, ...guarded, ...reading, ...fails, 500, ...writing]);
  return [...all].filter((status) => answers[status] === undefined).sort();
}
