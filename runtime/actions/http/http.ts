import { RetryAfterError, TerminalError, withDetail } from "../../model/errors.ts";
import { headerFields } from "../../model/event.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { type ActionContext, defineAction, saving } from "../action.ts";
import { type Body, parseBody, parseFailureBody, readableText, readResponseBody, takeBody } from "./response_body.ts";
import { checkRequest, readRequest, schemas } from "./request.ts";
import { readRetryAfter } from "./headers.ts";
import { send } from "./send.ts";

/** The most bytes, after decompression, of the body of an answer. */
const BODY_LIMIT = 10_000_000;
/** How many bytes of the body of a failure are kept; its detail says `truncated` if there were more. */
const FAILURE_LIMIT = 64_000;
const EXCERPT = 200;

/**
 * Sends one request. In its result header names are in lower case, several `set-cookie` a list; `body` is data if the answer is JSON or
 * `format` says how to parse it, text if it is text, else base64, and null if it is empty; with `save` it is the file with the body. A
 * status that is neither 2xx nor in `ok` is a failure. As after network errors, there is another attempt after 408, 429 and 5xx; all
 * other statuses are final.
 */
export const http = defineAction({
  ...schemas,
  summary: "Sends an HTTP request",
  defaults: { timeout: 30_000, attempts: 3 },
  check: checkRequest,
  async execute(args, context) {
    const { ok = [] } = args;
    const request = readRequest(args, context);
    const response = await send(request, ok, context);
    const accepted = response.ok || ok.includes(response.status);
    if (accepted && args.save !== undefined) {
      return { output: await save(args.save, request.name, response, context) };
    }
    const body = await readResponseBody(request.name, response, accepted ? BODY_LIMIT : FAILURE_LIMIT, context.signal);
    if (!accepted) throw failure(request.name, response, body);
    if (!body.complete) {
      throw new TerminalError(
        `The answer to ${request.name} has over ${
          BODY_LIMIT / 1_000_000
        } MB, more than an http step takes; "save: name" would put it into a file, or ask for less, in pages or by a filter`,
      );
    }
    const data = parseBody(request.name, body, args);
    return { output: result(response, data instanceof Promise ? await data : data) };
  },
});

function save(file: string, name: string, response: Response, context: ActionContext<unknown>): Promise<JsonObject> {
  return saving(context, { name: file, what: `the answer to ${name}` }, async (draft) => {
    await takeBody(name, response, context.signal, async (chunk) => {
      await draft.write(chunk);
      return true;
    });
    return result(response, await draft.keep(response.headers.get("content-type") ?? "application/octet-stream"));
  });
}

function failure(name: string, response: Response, body: Body): Error {
  const excerpt = (readableText(body) ?? "").replace(/\s+/g, " ").trim();
  const shown = excerpt.length > EXCERPT ? `${excerpt.slice(0, EXCERPT)}…` : excerpt;
  const status = `${response.status} ${response.statusText}`.trim();
  const message = `${name} answered ${status}${shown && `: ${shown}`}`;
  const detail = { ...result(response, parseFailureBody(body)), ...!body.complete && { truncated: true } };
  return withDetail(failureClass(message, response), detail);
}

function failureClass(message: string, { status, headers }: Response): Error {
  if (status !== 408 && status !== 429 && status < 500) return new TerminalError(message);
  const retryAfter = readRetryAfter(headers, Date.now());
  return retryAfter === undefined ? new Error(message) : new RetryAfterError(message, retryAfter);
}

function result(response: Response, body: Json): JsonObject {
  return { status: response.status, headers: headerFields(response.headers), body };
}
