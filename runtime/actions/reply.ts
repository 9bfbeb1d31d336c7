import { z } from "zod";
import { TerminalError } from "../model/errors.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import { headerFields, type Repeatable, toHeaders } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Args, ReadArgs } from "../language/kind.ts";
import { json, number, template } from "../language/arg_types.ts";
import { refusedHeader } from "./http_request.ts";
import { type ActionContext, defineAction, type Outcome } from "./action.ts";

const schemas = {
  kind: "reply",
  main: number({ min: 200, max: 599, integer: true }).describe("The status code"),
  options: {
    json: json().optional().describe("The body, as JSON"),
    body: template().optional().describe("The body, as text"),
    headers: z.record(z.string(), json()).optional().describe(
      "Response headers; a list repeats its header, null leaves it out",
    ),
  },
} as const;

type ReplyArgs = Args<typeof schemas>;
type ReadReplyArgs = ReadArgs<typeof schemas>;

const WITHOUT_BODY: Json[] = [204, 205, 304];

/**
 * Answers the webhook request that the run's event came from. If no request waits, as with other events or after `replyWithin`, the
 * step succeeds and its result says so. This way a rule with several triggers needs no condition.
 */
export const reply = defineAction({
  ...schemas,
  summary: "Answers the waiting request of a webhook trigger",
  defaults: { timeout: 30_000, attempts: 1 },
  staysInside: true,
  check: checkReply,
  execute: (args, context) => Promise.try(answer, args, context),
});

function answer(args: ReplyArgs, { run, services, recorded = args }: ActionContext<ReadReplyArgs>): Outcome {
  const { reply: status, json, body, headers: given = {} } = args;
  const [problem] = checkReply(args);
  if (problem !== undefined) throw new TerminalError(`Cannot reply ${status}: ${problem}`);
  const headers = readHeaders(given, recorded.headers ?? {});
  if (json !== undefined) headers["content-type"] ??= "application/json";
  if (body !== undefined) headers["content-type"] ??= "text/plain; charset=utf-8";
  if (!run.event.http) return { output: { status, sent: false, reason: "the event did not come by HTTP" } };
  const text = json !== undefined ? writeExactJson(json) : body ?? "";
  // Recorded even if it is too late: a duplicate of the event is answered with it.
  const effects = { reply: { status, headers, body: text } };
  if (services.awaitsReply(run.event, run)) return { output: { status, sent: true }, effects };
  return { output: { status, sent: false, reason: "nobody waited for it any more" }, effects };
}

function checkReply({ reply: status, json, body, headers = {} }: ReadReplyArgs): string[] {
  const structured = Object.entries(headers).find(([, value]) => [value].flat().some(isStructured));
  if (structured) return [`expected text or a list of texts for the header "${structured[0]}"`];
  if (json !== undefined && body !== undefined) return ['"json" and "body" exclude each other: an answer has one body'];
  const hasBody = json !== undefined || body !== undefined;
  if (!hasBody || !WITHOUT_BODY.includes(status)) return [];
  return [`HTTP allows no body with ${status}; use 200, or leave the body out`];
}

function isStructured(value: Json): boolean {
  return typeof value === "object" && value !== null;
}

function readHeaders(given: JsonObject, shown: JsonObject): Record<string, Repeatable> {
  const texts = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, [value].flat().filter((one) => one !== null).map(String)]),
  );
  try {
    return headerFields(toHeaders(texts));
  } catch {
    throw new TerminalError(`Cannot reply with ${refusedHeader(texts, shown)}`);
  }
}
