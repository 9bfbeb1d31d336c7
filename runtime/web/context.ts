import type { Clock } from "../host/clock.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { Cause } from "../model/event.ts";
import type { Json } from "../model/json.ts";
import type { Problem } from "../model/problem.ts";
import type { Rule } from "../model/rule.ts";
import type { LongEvaluation } from "../language/expressions/meter.ts";
import type { Store } from "../store/store.ts";
import type { Person } from "../model/person.ts";
import type { FormAnswer } from "../model/form.ts";
import type { FormAnswered } from "../engine/answer_form.ts";
import type { Operators } from "../engine/operators.ts";
import type { Access } from "./access.ts";
import type { FormDesk } from "./forms/desk.ts";
import type { HookRegistry } from "./hook_registry.ts";
import type { Metrics } from "./metrics.ts";
import type { ReplyWaiters } from "./reply_waiters.ts";

/** Everything that the HTTP side works with; `app.ts` builds it. */
export interface WebContext extends Access {
  /** The program's version. */
  version: string;
  clock: Clock;
  /** Intake is open only while `ready`: everything else answers 503 until the rules are loaded and while draining. */
  phase(): "starting" | "ready" | "draining";
  /** What the webhook triggers registered. */
  hooks: HookRegistry;
  /** What the last reload found. */
  rules(): RulesView;
  ingest: Pick<Ingest, "deliver" | "publish" | "trigger">;
  store: Store;
  /** What operators do about runs and rules. */
  operators: Pick<Operators, "cancel" | "replay" | "retry" | "skip" | "move" | "pause" | "resume">;
  /** Who may come to the forms, and how they are known. */
  desk: FormDesk;
  /** A person's answer to a form: checked, and where it is right its run goes on. */
  answerForm(form: string, person: Person, answer: Pick<FormAnswer, "values" | "via">): Promise<FormAnswered>;
  /** Who waits for the `reply` step of an event. */
  replies: ReplyWaiters;
  /** The cause in a `whenthen-cause` header; undefined where it is absent or was not signed by us. */
  verifyCause(header: string | undefined): Cause | undefined;
  secretOf(name: string): string | undefined;
  /** Replaces the values of secrets by `***`. */
  mask(text: string): string;
  maskJson(value: Json): Json;
  metrics: Metrics;
  /** A request could not be answered: for the log. */
  onError(message: string, error: unknown): void;
}

/** What receiving webhooks takes of it. */
export interface HookContext
  extends
    Pick<WebContext, "tokenless" | "clock" | "hooks" | "store" | "replies" | "verifyCause" | "secretOf" | "mask"> {
  rules(): Pick<RulesView, "rules">;
  ingest: Pick<Ingest, "deliver">;
}

/** The rules as they are live, and what is wrong with them. */
export interface RulesView {
  rules: ReadonlyMap<string, Rule>;
  problems: Problem[];
  /** Rule files that do not load, each with the rule id that it had or would have. */
  broken: ReadonlyMap<string, string>;
  /** Why an operator or the watchdog paused a rule, by rule id. */
  paused: Readonly<Record<string, string>>;
  /** What went wrong in a trigger's last pass, by rule id and trigger id. */
  failures: { rule: string; trigger: string; message: string }[];
  /** The longest evaluation of a rule's expressions, if it was long enough to be noticed. */
  longest(rule: string): LongEvaluation | undefined;
}
