import type { Connections } from "../connections/connections.ts";
import type { HookSecrets } from "../connections/hook_secrets.ts";
import type { Clock } from "../host/clock.ts";
import type { LiveOutputs } from "../host/program_output.ts";
import type { Uploads } from "../host/uploads.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { OwnEvents } from "../ingest/emit_own_events.ts";
import type { Cause } from "../model/event.ts";
import type { Fleets } from "../model/fleet.ts";
import type { ConfigSet, ConfigSetting } from "../folder/settings/config_layers.ts";
import type { RuleConfig } from "../model/config.ts";
import type { Json } from "../model/json.ts";
import type { Problem } from "../model/problem.ts";
import type { Command, Rule } from "../model/rule.ts";
import type { LongEvaluation } from "../language/expressions/meter.ts";
import type { Store } from "../store/store.ts";
import type { Person } from "../model/form.ts";
import type { FormAnswered, GivenAnswer } from "../engine/form_answers.ts";
import type { Operators } from "../engine/operators.ts";
import type { Access } from "./access.ts";
import type { Activity } from "./activity.ts";
import type { FormDesk } from "./forms/sessions.ts";
import type { HookRegistry } from "./hook_registry.ts";
import type { Metrics } from "./metrics.ts";
import type { RefusedRequests } from "./refused_requests.ts";
import type { Replicas } from "./replicas.ts";
import type { ReplyWaiters } from "./reply_waiters.ts";

/** Everything that the HTTP side works with; `app.ts` creates it. */
export interface WebContext extends Access {
  /** The program's version. */
  version: string;
  clock: Clock;
  /** Intake is open only while `ready`; otherwise requests get 503, until the rules are loaded and while draining. */
  phase(): "starting" | "ready" | "draining";
  /** The registered webhook triggers. */
  hooks: HookRegistry;
  /** The result of the last reload. */
  rules(): RulesView;
  ingest: Pick<Ingest, "deliver" | "publish" | "publishAll" | "fromTrigger">;
  store: Store;
  /** The files that come with events. */
  uploads: Pick<Uploads, "save">;
  connections: Connections;
  hookSecrets: HookSecrets;
  fleets: Fleets;
  /** The programs on the same database; absent over a data folder. */
  replicas?: Replicas;
  /** What operators can do to runs and rules. */
  operators: Pick<Operators, "cancel" | "replay" | "retry" | "skip" | "move" | "pause" | "resume">;
  /** Who may use the forms, and how they are authenticated. */
  desk: FormDesk;
  /** A person's answer to a form. It is checked; if it is valid, the run continues. */
  answerForm(form: string, person: Person, answer: GivenAnswer): Promise<FormAnswered>;
  /** Sets the config of a rule, after checking who does it and the values; resolves when they are in force. */
  setConfig(rule: string, setting: ConfigSetting): Promise<ConfigSet>;
  /** Requests that wait for the `reply` step of their event. */
  replies: ReplyWaiters;
  /** The cause in a `whenthen-cause` header; undefined if it is absent or not signed by this program. */
  verifyCause(header: string | undefined): Cause | undefined;
  secretOf(name: string): string | undefined;
  /** Replaces the values of secrets by `***`. */
  mask(text: string): string;
  maskJson(value: Json): Json;
  metrics: Metrics;
  /** Requests that were refused as events. */
  refused: RefusedRequests;
  /** What running programs print. */
  outputs: Pick<LiveOutputs, "of" | "changes">;
  /** Receives the reports of refused requests to hooks. */
  ownEvents: Pick<OwnEvents, "begin" | "end" | "holdsAny" | "since">;
  /** The outcomes of recently ended runs. */
  activity: Activity;
  /** The text of a rule's file, by its path relative to the rules folder; undefined if it cannot be read. */
  readRuleFile(file: string): Promise<string | undefined>;
  /** Called if a request could not be answered; writes to the log. */
  onError(message: string, error: unknown): void;
}

/** The part that receiving webhooks needs. */
export interface HookContext extends
  Pick<
    WebContext,
    "tokenless" | "clock" | "hooks" | "store" | "replies" | "verifyCause" | "secretOf" | "mask" | "uploads"
  > {
  rules(): Pick<RulesView, "rules">;
  ingest: Pick<Ingest, "deliver">;
  hookSecrets: Pick<HookSecrets, "of" | "offer">;
}

/** The rules in force, and what is wrong with them. */
export interface RulesView {
  rules: ReadonlyMap<string, Rule>;
  /** The rules in force, together with those that start a command by itself. */
  startable: ReadonlyMap<string, Rule>;
  /** The commands in force, by id. */
  commands: ReadonlyMap<string, Command>;
  problems: Problem[];
  /** Rule files that do not load, each with the id of its rule. */
  broken: ReadonlyMap<string, string>;
  /** The config of each rule that has one, by rule id; also of rules that do not load. */
  configs: ReadonlyMap<string, RuleConfig>;
  /** Why an operator or the watchdog paused a rule, by rule id. */
  paused: Readonly<Record<string, string>>;
  /** Failures of triggers' last passes, by rule id and trigger id. */
  failures: { rule: string; trigger: string; message: string }[];
  /** The longest evaluation of a rule's expressions, if it was long enough to be recorded. */
  longest(rule: string): LongEvaluation | undefined;
}
