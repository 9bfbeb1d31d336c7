import type { Action, ActionContext, Outcome } from "../actions/action.ts";
import { actions } from "../actions/index.ts";
import { commandAction } from "../actions/call.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import { TerminalError, withDetail } from "../model/errors.ts";
import type { Event } from "../model/event.ts";
import type { UpperValue } from "../model/config.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { StepRecord } from "../model/run.ts";
import type { EventIdentity, EventRecord, EventSearch, Trace } from "../store/store.ts";
import { type AskingSource, type AskingStep, Stubs } from "./stubs.ts";

/** What has happened: the events and runs of a running program, or of the data folder of one that has ended. */
export interface Past {
  /** Whether the secrets of the rules are masked: a running program does that. */
  readonly isMasked: boolean;
  /** Newest first. */
  events(search: Pick<EventSearch, "limit" | "before" | "from" | "id">): Promise<EventRecord[]>;
  run(id: string): Promise<Trace | undefined>;
  /** The config values of a rule above those of its files. */
  config(rule: string): Promise<UpperValue[]>;
}

/** What is known of the result of a step: as recorded, as recorded but for other arguments, or nothing. */
export type Known = "recorded" | "recorded for other arguments" | "assumed";

/** Kinds of steps whose results come from outside, or from code that may do anything, with what is assumed if none is known. */
const ASSUMED: Record<string, (args: JsonObject) => Json> = {
  http: () => ({ status: 200, headers: {}, body: null }),
  run: () => ({ code: 0, stdout: "", stderr: "", json: null }),
  call: () => null,
  do: () => null,
  mail: ({ mail }) => ({ messageId: "<not-sent@whenthen>", accepted: [mail].flat(), rejected: [] }),
  patch: ({ patch, key = null }) => ({ key, sent: patch, item: null }),
  task: () => ({ total: 0, failed: 0, results: {}, errors: {} }),
};

/**
 * The answers of a dry run: no step acts. A step gets the result that it has in the recorded run of the same event, else an assumed
 * one.
 */
export class RecordedAnswers extends Stubs {
  readonly #known = new Map<string, Known>();

  /**
   * @param traceOf the recorded run of an event
   * @param canMail whether a form without `notify` sends mails
   */
  constructor(
    private readonly traceOf: (event: EventIdentity) => Trace | undefined,
    private readonly canMail: boolean,
  ) {
    super({});
  }

  override standIn(step: AskingStep): Action | undefined {
    const { kind, command, target } = step;
    const isYamlAction = kind === "call" && command === undefined && /\.ya?ml$/.test(target ?? "");
    if (isYamlAction || !Object.hasOwn(ASSUMED, kind)) return undefined;
    const action = command ? commandAction(command) : actions[kind] ?? actions.call;
    return { ...action, execute: (args, context) => this.#answer(step, args, context) };
  }

  override source({ path, real }: AskingSource): Action {
    const refuse = () => Promise.reject(new TerminalError(`The trigger "${path}" does not look in a dry run`));
    return { ...real, execute: refuse };
  }

  override has(name: string): boolean {
    return name === "mail" && this.canMail;
  }

  override hasSource(): boolean {
    return false;
  }

  /** What is known of the result of a step; undefined if it computes the result itself. */
  knownOf(run: string, path: string): Known | undefined {
    return this.#known.get(keyOf(run, path));
  }

  #answer({ kind, path }: AskingStep, args: JsonObject, context: ActionContext): Outcome {
    const record = recordedStep(this.traceOf(context.run.event), path, kind);
    const key = keyOf(context.run.id, path);
    if (record === undefined) {
      this.#known.set(key, "assumed");
      return { output: ASSUMED[kind](args) };
    }
    const isSame = sameInput(record.input, context.recorded ?? args);
    this.#known.set(key, isSame ? "recorded" : "recorded for other arguments");
    if (record.error === undefined) return { output: record.output ?? null };
    const { name, message, detail } = record.error;
    const error = Object.assign(new TerminalError(message), { name });
    throw detail === undefined ? error : withDetail(error, detail);
  }
}

function keyOf(run: string, path: string): string {
  return `${run} ${path}`;
}

/** The record of a step that has succeeded or failed. */
export function recordedStep(trace: Trace | undefined, path: string, kind: string): StepRecord | undefined {
  const record = trace?.steps.find((step) => step.path === path && step.kind === kind);
  return record?.state === "succeeded" || record?.state === "failed" ? record : undefined;
}

/** Whether two steps have the same arguments. An argument that is undefined counts as absent. */
export function sameInput(one: Json | undefined, other: Json | undefined): boolean {
  return writeExactJson(sorted(one ?? {})) === writeExactJson(sorted(other ?? {}));
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value as JsonObject).filter(([, each]) => each !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => a < b ? -1 : 1).map(([key, each]) => [key, sorted(each)]));
}

/** The identity of an event as one text. */
export function identityOf({ source, id }: Pick<Event, "source" | "id">): string {
  return JSON.stringify([source, id]);
}
