import type { Mail, SentMail } from "../actions/mail/mailer.ts";
import type { ChildEnd } from "../host/spawn.ts";
import { TerminalError } from "../model/errors.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import { type Repeatable, toHeaders } from "../model/repeatable.ts";
import type { Json, JsonObject } from "../model/json.ts";
import { STUB_KEYS, type StubbedKind } from "../language/checker/test_kinds.ts";
import { hintAtUnknownKey } from "../language/checker/unknown_key.ts";

/** A step needs an answer that the test's stubs do not provide. */
export class StubError extends TerminalError {
  override name = "StubError";
}

const BODILESS = [204, 205, 304];

/** The response of the network: `{ status, headers, body }`, each with a default; `{ error }` makes the network fail. */
export function answerRequest(answer: Json): Response {
  const { status = 200, headers = {}, body = null } = read(answer, "http");
  const given = toHeaders(headers as Record<string, Repeatable>);
  if (body === null || BODILESS.includes(status as number)) {
    return new Response(null, { status: status as number, headers: given });
  }
  if (!given.has("content-type")) {
    given.set("content-type", typeof body === "string" ? "text/plain" : "application/json");
  }
  return new Response(typeof body === "string" ? body : writeExactJson(body), {
    status: status as number,
    headers: given,
  });
}

/** How a command ends: `{ code, stdout, stderr }`; values that are no text become JSON. `{ error }` makes its start fail. */
export function answerChild(answer: Json): ChildEnd {
  const { code = 0, stdout = "", stderr = "" } = read(answer, "run");
  const kept = (output: Json) => ({ text: typeof output === "string" ? output : writeExactJson(output), dropped: 0 });
  return { code: code as number, stdout: kept(stdout), stderr: kept(stderr) };
}

/** The mail server's response: all recipients are accepted unless `{ accepted, rejected }` says otherwise. */
export function answerMail(mail: Mail, answer: Json): SentMail {
  const given = read(answer, "mail");
  return { messageId: `<${mail.id}@test>`, accepted: mail.to.map(({ address }) => address), rejected: [], ...given };
}

/** @throws Error if the answer is a failure, StubError if the step cannot get such an answer */
function read(answer: Json, kind: StubbedKind): JsonObject {
  const keys = STUB_KEYS[kind];
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) {
    throw new StubError(`The stub of ${kind} is { ${keys.join(", ")} }, got ${writeExactJson(answer)}`);
  }
  const unknown = Object.keys(answer).find((key) => !keys.includes(key));
  if (unknown !== undefined) {
    throw new StubError(`The stub of ${kind} has no "${unknown}"; ${hintAtUnknownKey(unknown, keys)}`);
  }
  if (answer.error !== undefined) throw new Error(String(answer.error));
  return answer;
}
