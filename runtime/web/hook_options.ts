import { methodsOf } from "../triggers/webhook.ts";
import type { HookMatch } from "./hook_registry.ts";

/** Seconds for which a browser may remember an answer to a preflight request. */
const MAX_AGE = "600";

/**
 * The answer to an `OPTIONS` of hooks; undefined if none of them knows what it asks. It is a sender of CloudEvents that asks whether it
 * may send (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection), or the preflight request
 * of a browser (https://fetch.spec.whatwg.org/#http-cors-protocol).
 */
export function answerOptions({ headers }: Request, matches: readonly HookMatch[]): Response | undefined {
  if (matches.some(({ hook }) => methodsOf(hook.args).includes("POST"))) {
    const consent = answerHandshake(headers);
    if (consent !== undefined) return consent;
  }
  const [origin, method] = ["origin", "access-control-request-method"].map((name) => headers.get(name));
  const open = matches.filter((match) => match.hook.args.cors !== undefined && listensTo(match, method ?? ""));
  if (!origin || !method || open.length === 0) return undefined;
  const allowing = open.filter((match) => isAllowed(match, origin));
  if (allowing.length === 0) {
    const error = `"cors" of this webhook does not name the origin ${origin}`;
    return Response.json({ error }, { status: 403, headers: { vary: "origin" } });
  }
  const methods = [...new Set(allowing.flatMap(({ hook }) => methodsOf(hook.args)))].join(", ");
  const asked = headers.get("access-control-request-headers");
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-origin": origin,
      "access-control-allow-methods": methods,
      ...asked && { "access-control-allow-headers": asked },
      "access-control-max-age": MAX_AGE,
      vary: "origin, access-control-request-headers",
    },
  });
}

/** The consent to events from a sender that asks for it; undefined if the request is no such question. */
export function answerHandshake(headers: Headers): Response | undefined {
  const origin = headers.get("webhook-request-origin");
  if (!origin) return undefined;
  const consent = { "webhook-allowed-origin": origin, "webhook-allowed-rate": "*", allow: "POST" };
  return new Response(null, { status: 200, headers: consent });
}

/** Whether a hook takes the method. A `HEAD` is a `GET` without the body of the answer. */
export function listensTo({ hook }: HookMatch, method: string): boolean {
  return methodsOf(hook.args).includes(method === "HEAD" ? "GET" : method);
}

/** The answer of hooks with `cors`: the pages of these origins may read it. */
export function withCors({ headers, method }: Request, matches: readonly HookMatch[], answer: Response): Response {
  if (matches.every(({ hook }) => hook.args.cors === undefined)) return answer;
  const asked = matches.filter((match) => listensTo(match, method));
  if (asked.every(({ hook }) => hook.args.cors === undefined)) return answer;
  const origin = headers.get("origin");
  const shown = new Headers(answer.headers);
  shown.append("vary", "origin");
  if (origin && asked.some((match) => isAllowed(match, origin))) shown.set("access-control-allow-origin", origin);
  return new Response(answer.body, { status: answer.status, headers: shown });
}

function isAllowed({ hook }: HookMatch, origin: string): boolean {
  const allowed = [hook.args.cors ?? []].flat();
  return allowed.includes("*") || allowed.includes(origin);
}
