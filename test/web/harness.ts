import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setConfig } from "../../runtime/folder/settings/config_layers.ts";
import { Connections } from "../../runtime/connections/connections.ts";
import { HookSecrets } from "../../runtime/connections/hook_secrets.ts";
import { type StoredAttempt, type StoredHook, Vault } from "../../runtime/connections/vault.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import { taskRules } from "../../runtime/folder/task_rule.ts";
import { commandRules } from "../../runtime/commands/command_rule.ts";
import { LiveOutputs } from "../../runtime/host/program_output.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import { Uploads } from "../../runtime/host/uploads.ts";
import { CauseSigner } from "../../runtime/ingest/cause.ts";
import { Ingest } from "../../runtime/ingest/ingest.ts";
import { OwnEvents } from "../../runtime/ingest/emit_own_events.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { UsageError } from "../../runtime/model/errors.ts";
import type { Fleets } from "../../runtime/model/fleet.ts";
import type { Person } from "../../runtime/model/form.ts";
import type { Command, Rule, Step, Trigger } from "../../runtime/model/rule.ts";
import { answerForm } from "../../runtime/engine/form_answers.ts";
import { Operators } from "../../runtime/engine/operators.ts";
import { openStore } from "../../runtime/store/open_store.ts";
import type { By, Seen, Store } from "../../runtime/store/store.ts";
import type { Hook } from "../../runtime/triggers/trigger.ts";
import { Activity } from "../../runtime/web/activity.ts";
import type { WebContext } from "../../runtime/web/context.ts";
import { openDesk } from "../../runtime/web/forms/sessions.ts";
import { HookRegistry } from "../../runtime/web/hook_registry.ts";
import { buildFacts, Metrics } from "../../runtime/web/metrics.ts";
import { RefusedRequests } from "../../runtime/web/refused_requests.ts";
import { ReplyWaiters } from "../../runtime/web/reply_waiters.ts";
import { createWeb, type Web } from "../../runtime/web/web.ts";
import { plainRule } from "../model/plain_rule.ts";
import { checkAnswer } from "./described.ts";

export const NOW = Date.parse("2026-11-21T08:00:00Z");
const AT = { line: 1, column: 1 };

/** The HTTP side over a real store and a real ingest, without the rest of the program. */
export interface Bench extends AsyncDisposable {
  web: Web;
  context: WebContext;
  store: Store;
  /** Of the data. */
  folder: string;
  clock: ManualClock;
  signer: CauseSigner;
  keyFor: (purpose: string) => Uint8Array;
  errors: string[];
  /** Those in the settings; a test may change it. */
  people: Person[];
  /** Runs that resumed after an answer, or because an operator ended their wait. */
  woken: string[];
  /** The texts of rules' files, by path; a test may change them. */
  files: Record<string, string>;
  /** What running programs print. */
  outputs: LiveOutputs;
  /** Sends a request and gives its status and its answer. */
  ask(method: string, path: string, init?: RequestInit): Promise<Answer>;
  /** Sends JSON. */
  post(path: string, body: Json, headers?: Record<string, string>): Promise<Answer>;
}

export interface Answer {
  status: number;
  /** Parsed if it is JSON. */
  // deno-lint-ignore no-explicit-any
  body: any;
  headers: Headers;
}

const none = () => Promise.reject(new UsageError("there is no fleet"));
const NO_FLEETS: Fleets = {
  list: () => [],
  get: () => undefined,
  devices: none,
  device: none,
  recipients: () => Promise.resolve([]),
  task: none,
  again: none,
  eventCounts: () => ({}),
};

/** Opens one with these rules, ready unless `context` overrides it. */
export async function openBench(
  rules: Rule[],
  changes: Partial<WebContext> = {},
  commands: Command[] = [],
): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-web-"));
  const store = await openStore({ folder, onWarning() {}, now: NOW });
  const clock = new ManualClock(NOW);
  const signer = new CauseSigner(new Uint8Array(32));
  const hooks = new HookRegistry();
  const live = new Map(rules.map((rule) => [rule.id, rule]));
  const paused: Record<string, string> = {};
  const errors: string[] = [];
  const people: Person[] = [];
  const woken: string[] = [];
  const files: Record<string, string> = {};
  const outputs = new LiveOutputs();
  const runFiles = new RunFiles(join(folder, "files"), realDisk);
  const keyFor = (purpose: string) => new TextEncoder().encode(`key for ${purpose}`);
  const ingest = new Ingest({ store, clock, surroundings: () => ({ env: {}, secrets: {} }), onAccepted() {} });
  const connections = new Connections({
    clock,
    vault: await Vault.open(folder, realDisk, () => {}),
    attempts: await Vault.open<StoredAttempt>(folder, realDisk, () => {}, "attempts"),
    secretOf: (name) => changes.secretOf?.(name),
    plainOf: (name) => changes.secretOf?.(name),
    hide() {},
    address: () => "http://127.0.0.1:8080",
    onState() {},
    log() {},
  });
  const ownEvents = new OwnEvents({ store, ingest, clock, maskJson: (value) => value });
  // Tests change the rules meanwhile.
  const fleets = changes.fleets ?? NO_FLEETS;
  const startable = () =>
    new Map([...commandRules(commands), ...taskRules(fleets.list().map(({ fleet }) => fleet)), ...live]);
  await store.putVersions([...startable().values()]);
  ingest.setRules(startable());
  for (const { id, triggers } of rules) {
    for (const { id: trigger, kind, args } of triggers) {
      if (kind === "webhook") {
        hooks.add({ rule: id, trigger, path: args.webhook as string, args: args as Hook["args"], at: AT });
      }
      if (kind === "event") ingest.subscriptions.add({ rule: id, trigger, types: [args.event as string] });
    }
  }
  const pause = async (rule: string, reason: string | null) => {
    await store.setPaused(rule, reason);
    if (reason === null) delete paused[rule];
    else paused[rule] = reason;
    ingest.setPaused(paused);
  };
  const runner = {
    cancel: async (run: string, reason = "cancelled in a test", by?: By, seen?: Seen) => {
      const cancelled = await store.cancelRun(run, reason, clock.now(), by, seen);
      return cancelled?.kind === "asked" ? cancelled.state : cancelled;
    },
    wake() {},
    woken: (runs: string[]) => void woken.push(...runs),
  };
  const context: WebContext = {
    tokenless: true,
    tokens: ["data-token"],
    version: "1.2.3",
    clock,
    phase: () => "ready",
    hooks,
    rules: () => ({
      rules: live,
      startable: startable(),
      commands: new Map(commands.map((command) => [command.id, command])),
      problems: [],
      broken: new Map(),
      configs: new Map(),
      paused,
      failures: [],
      longest: () => undefined,
    }),
    ingest,
    store,
    uploads: new Uploads(join(folder, "files"), runFiles, realDisk),
    connections,
    hookSecrets: new HookSecrets({
      clock,
      vault: await Vault.open<StoredHook>(folder, realDisk, () => {}, "hooks"),
      secretOf: (name) => changes.secretOf?.(name),
      hide() {},
      log() {},
    }),
    operators: new Operators({
      store,
      clock,
      live: {
        get rules() {
          return startable();
        },
        pause,
      },
      runner,
    }),
    desk: openDesk({ keyFor, people: () => people, address: () => "http://127.0.0.1:8080", store, clock }),
    fleets,
    answerForm: (form, person, answer) =>
      answerForm({ store, files: runFiles, clock, onWoken: (runs) => woken.push(...runs) }, form, person, answer),
    setConfig: (rule, setting) =>
      setConfig(
        {
          clock,
          store,
          configs: context.rules().configs,
          log: () => {},
          reload: () => Promise.resolve({ ...context.rules(), late: new Map(), refused: [] }),
        },
        rule,
        setting,
      ),
    replies: new ReplyWaiters(),
    verifyCause: (header) => signer.verify(header),
    secretOf: (name) => name === "HOOK" ? "hook-secret" : undefined,
    mask: (text) => text.replaceAll("hook-secret", "***"),
    maskJson: (value) => JSON.parse(JSON.stringify(value).replaceAll("hook-secret", "***")),
    refused: new RefusedRequests(clock),
    outputs,
    ownEvents,
    metrics: new Metrics({
      store,
      fleets: { list: () => context.fleets.list() },
      build: buildFacts("1.2.3"),
      rules: () => ({ loaded: live.size, broken: 0 }),
      isInForce: (id) => live.has(id),
      workers: () => 0,
      ...changes.replicas && { replicas: changes.replicas },
    }),
    activity: new Activity(store, clock),
    readRuleFile: (file) => Promise.resolve(files[file]),
    onError: (message, error) => errors.push(`${message}: ${error}`),
    ...changes,
  };
  const web = createWeb(context);
  const ask: Bench["ask"] = async (method, path, init = {}) => {
    const response = await web.fetch(new Request(`http://127.0.0.1:8080${path}`, { method, ...init }));
    const text = await response.text();
    const isJson = text !== "" && response.headers.get("content-type")?.includes("json");
    const answer = { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
    await checkAnswer(method, path, answer);
    return answer;
  };
  return {
    web,
    context,
    store,
    folder,
    clock,
    signer,
    keyFor,
    errors,
    people,
    woken,
    files,
    outputs,
    ask,
    post: (path, body, headers = {}) =>
      ask("POST", path, { body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } }),
    async [Symbol.asyncDispose]() {
      await store.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A checked rule. */
export function rule(id: string, triggers: Trigger[], then: Step[] = []): Rule {
  return plainRule({ id, version: `version-of-${id}`, triggers, then });
}

/** A webhook trigger as the checker makes it. */
export function webhook(path: string, args: JsonObject = {}): Trigger {
  const defaults = { auth: "none", method: "POST", replyWithin: 10_000, maxBody: 1_000_000 };
  return { id: `webhook ${path}`, kind: "webhook", at: AT, args: { webhook: path, ...defaults, ...args } };
}

/** An event trigger. */
export function onEvent(type: string): Trigger {
  return { id: `event ${type}`, kind: "event", at: AT, args: { event: type } };
}

/** A step. */
export function step(kind: string, args: JsonObject = {}): Step {
  return { id: kind, kind, at: AT, args, children: {} };
}
