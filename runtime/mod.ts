/**
 * What rule files import: `import { poll, rule } from "whenthen"`.
 *
 * @module
 */
export { RetryAfterError, TerminalError } from "./model/errors.ts";
export type { Event, HttpRequestFacts } from "./model/event.ts";
export type { Json, JsonObject } from "./model/json.ts";
export type { BatchData, BatchEvent, BatchOptions } from "./isolate/language/batch.ts";
export type {
  AllResult,
  AnyResult,
  Branches,
  EachError,
  EachOptions,
  EachResult,
  SomeResult,
} from "./isolate/language/branches.ts";
export type { ConfigField, ConfigSpec, ConfigValues } from "./isolate/language/config.ts";
export type { Change, FileChange, TypedEvent, WebhookEvent } from "./isolate/language/event.ts";
export type { FormField, FormFields, FormOptions, FormResult } from "./isolate/language/form.ts";
export { rule } from "./isolate/language/rule.ts";
export type { RuleDefinition, RuleScope, RuleSpec } from "./isolate/language/rule.ts";
export { type } from "./isolate/language/schema.ts";
export type { StandardSchema, TypeOnly } from "./isolate/language/schema.ts";
export type { HttpResult, MailOptions, MailResult, RunResult, Step, StepOptions } from "./isolate/language/step.ts";
export { testRule } from "./isolate/language/test.ts";
export type { RuleTester, TestOptions } from "./isolate/language/test.ts";
export { at, cron, event, every, manual, poll, start, watch, webhook } from "./isolate/language/triggers.ts";
export type { TriggerDefinition } from "./isolate/language/triggers.ts";
export type { WaitForOptions, WaitOptions } from "./isolate/language/wait.ts";
export type { Answering, Expectation, Seen, Sending } from "./model/test.ts";
