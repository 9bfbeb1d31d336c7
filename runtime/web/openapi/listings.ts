import { z } from "zod";
import type { FieldProblem } from "../../language/fields/check_values.ts";
import type { Completion } from "../../language/fields/relations.ts";
import { type ConnectionListing, GRANTS } from "../../connections/connection.ts";
import type { AttemptState, Begun } from "../../connections/attempts.ts";
import { DEVICE_STATES, type DeviceView, type TaskResult } from "../../model/fleet.ts";
import type { Form, FormAnswer } from "../../model/form.ts";
import type { Position, Problem } from "../../model/problem.ts";
import type { Command, CommandInput } from "../../model/rule.ts";
import type { CommandChecked, CommandListing } from "../commands_api.ts";
import type { ConfigListing } from "../config_api.ts";
import type { BegunAnswer, HandshakeHook } from "../connections_api.ts";
import type { DeviceDetail, FleetListing, SentTask } from "../fleets_api.ts";
import { REPLICA_STATES, type ReplicaListing } from "../replicas.ts";
import type { RuleListing, Startable, TriggerListing } from "../rules_api.ts";
import {
  answerOf,
  configEntry,
  duration,
  field,
  fields,
  fieldShape,
  json,
  oneOf,
  run,
  runState,
  time,
  values,
  verdictCounts,
} from "./answers.ts";

const text = z.string();
const names = z.array(text);

// ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

const position = answerOf<Position>("Position", { line: z.int(), column: z.int(), length: z.int().optional() });
export const problem = answerOf<Omit<Problem, "hidden">>("Problem", {
  severity: z.enum(["error", "warning"]),
  file: text,
  at: position,
  message: text,
  hint: text.optional(),
  sourceLine: text.optional(),
});

const trigger = answerOf<TriggerListing>("Trigger", {
  id: text,
  kind: text,
  failure: text.optional(),
  hook: z.strictObject({ method: text, path: text, open: z.boolean() }).optional(),
});
export const rule = answerOf<RuleListing>("Rule", {
  id: text,
  name: text.optional(),
  file: text,
  language: z.enum(["yaml", "typescript"]).optional(),
  version: text.optional(),
  state: z.enum(["on", "disabled", "paused", "kept", "broken"]),
  reason: text.optional(),
  triggers: z.array(trigger),
  longest: z.strictObject({ expression: text, ms: duration }).optional(),
  connections: z.array(z.strictObject({ name: text, reason: text })).optional(),
  verdicts: verdictCounts,
});
export const startable = answerOf<Startable>("Startable", {
  rule: text,
  name: text.optional(),
  inputs: fields,
  to: names,
});

export const config = answerOf<ConfigListing>("ConfigEntry", {
  ...configEntry,
  field,
  refused: z.strictObject({
    value: json.optional(),
    from: z.enum(["source", "page", "--set"]),
    by: text.optional(),
    at: time.optional(),
    reason: text,
  }).optional(),
});

// ── forms ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

const answer = answerOf<FormAnswer>("FormAnswer", {
  values,
  by: text,
  at: time,
  via: z.enum(["page", "link", "api"]),
});
export const form = answerOf<Form>("Form", {
  id: text,
  run,
  rule: text,
  step: text,
  title: text,
  to: names,
  fields,
  createdAt: time,
  due: time.optional(),
  state: z.enum(["open", "answered", "expired", "cancelled"]),
  answer: answer.optional(),
});

// ── commands ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const input = answerOf<CommandInput>("CommandInput", {
  ...fieldShape,
  root: z.boolean().optional(),
  value: z.literal("optional").optional(),
  join: z.enum([" ", "=", ""]).optional(),
  position: z.enum(["first", "last"]).optional(),
  after: text.optional(),
  before: text.optional(),
  each: z.enum(["repeat", ","]).optional(),
  pass: text.optional(),
  "x-oto": values.optional(),
});
export const command = answerOf<Command>("Command", {
  id: text,
  file: text,
  at: position,
  name: text.optional(),
  help: text.optional(),
  program: text,
  version: z.strictObject({ is: text, by: names }).optional(),
  inputs: z.record(z.string(), input),
  only: names.optional(),
  fixed: z.array(z.tuple([text, json])),
  end: text.optional(),
  root: z.boolean(),
  complete: z.boolean(),
});
export const listedCommand = answerOf<CommandListing>("ListedCommand", {
  id: text,
  name: text.optional(),
  help: text.optional(),
  file: text,
  program: text,
  root: z.boolean(),
  inputs: names,
});
const completion = answerOf<Completion>("Completion", { set: names, added: names, values, open: names });
export const checkedCommand = answerOf<CommandChecked>("CheckedCommand", {
  argv: names.nullable(),
  complete: completion.nullable(),
  problems: z.array(
    answerOf<FieldProblem & { says: string }>("FieldProblem", {
      key: text,
      kind: z.enum(["unknown", "unfit", "missing", "conflict"]),
      message: text,
      hint: text.optional(),
      says: text,
    }),
  ),
});

// ── connections and handshakes ──────────────────────────────────────────────────────────────────────────────────────────

export const connection = answerOf<ConnectionListing>("Connection", {
  name: text,
  kind: z.enum(["bearer", ...GRANTS]),
  state: z.enum(["connected", "lost", "unconnected", "locked", "unused"]),
  reason: text.optional(),
  hosts: names,
  scopes: names,
  expiresAt: time.optional(),
  renews: z.boolean(),
  by: text.optional(),
  at: time.optional(),
});
type Code = Extract<Begun, { kind: "code" }>;
type Device = Extract<Begun, { kind: "device" }>;
export const begun = oneOf<BegunAnswer>("Begun", [
  answerOf<Code>("BegunWithCode", {
    kind: z.literal("code"),
    attempt: text,
    url: text,
    until: time,
    outOfBand: z.boolean(),
  }),
  answerOf<Device>("BegunOnDevice", {
    kind: z.literal("device"),
    attempt: text,
    uri: text,
    complete: text.optional(),
    userCode: text,
    until: time,
  }),
  z.strictObject({ kind: z.literal("connected") }).meta({ id: "ConnectedAtOnce" }),
]);
export const attempt = answerOf<AttemptState>("Attempt", {
  connection: text,
  state: z.enum(["waiting", "connected", "failed"]),
  error: text.optional(),
});
export const hook = answerOf<HandshakeHook>("HandshakeHook", {
  rule: text,
  trigger: text,
  openUntil: time.optional(),
  secrets: z.array(z.strictObject({ id: text, at: time, readable: z.boolean() })),
  path: text.optional(),
});

// ── fleets ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const deviceState = z.enum(DEVICE_STATES).meta({ id: "DeviceState" });
const task = answerOf<FleetListing["tasks"][number]>("FleetTask", {
  name: text,
  title: text.optional(),
  help: text.optional(),
  inputs: fields,
  to: names.optional(),
});
export const fleet = answerOf<FleetListing>("Fleet", {
  id: text,
  name: text.optional(),
  help: text.optional(),
  total: z.int(),
  counts: z.record(z.enum(DEVICE_STATES), z.int()),
  problem: text.nullable(),
  tasks: z.array(task),
});
const deviceFields = {
  fleet: text,
  device: text,
  state: deviceState,
  tags: names,
  data: json,
  info: json.optional(),
  since: time,
  failures: z.int(),
  lastPing: time.optional(),
  error: text.optional(),
  again: time.optional(),
  owner: z.strictObject({ replica: text, host: text, address: text.nullable() }).optional(),
};
export const device = answerOf<DeviceView>("Device", deviceFields);
export const deviceDetail = answerOf<DeviceDetail>("DeviceDetail", {
  ...deviceFields,
  events: z.array(z.strictObject({ key: text, type: text, at: time, error: text.optional() })),
  tasks: z.array(z.strictObject({ run, task: text, state: runState, at: time })),
});
const taskResult = answerOf<TaskResult>("TaskResult", {
  job: text,
  device: text,
  worker: text,
  success: z.boolean(),
  error: text.nullable(),
  return: json,
  at: z.iso.datetime(),
  executionTime: duration,
});
export const sentTask = answerOf<SentTask>("SentTask", {
  run,
  state: runState,
  error: text.optional(),
  total: z.int(),
  failed: z.int(),
  results: z.array(taskResult),
});

// ── replicas ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const replica = answerOf<ReplicaListing>("Replica", {
  id: text,
  host: text,
  pid: z.int(),
  version: text,
  startedAt: time,
  address: text.nullable(),
  rules: text.nullable(),
  decides: z.boolean(),
  state: z.enum(REPLICA_STATES),
  behind: z.int(),
});
