import ky from "ky";
import { sendWithToken } from "../connections/connection.ts";
import { type Clock, sleepFor } from "../host/clock.ts";
import type { Rate } from "../model/duration.ts";
import { networkReason, TerminalError } from "../model/errors.ts";
import type { ActionContext } from "./action.ts";
import type { HttpRequest } from "./http_request.ts";

/** As browsers do (fetch standard, section 4.4). */
const MOST_REDIRECTS = 20;
const REDIRECTS = [301, 302, 303, 307, 308];
/** The headers that another origin may see: all others may contain credentials. */
const HARMLESS = [
  ...["accept", "accept-language", "content-type", "idempotency-key", "user-agent", "whenthen-cause"],
  ...["traceparent", "tracestate"],
];

/**
 * Sends a request and follows redirects, each hop under its host's limit. Statuses in `ok` are not followed. The caller reads or cancels
 * the body.
 * @throws the signal's reason once aborted; TerminalError for redirects that lead nowhere; any other Error if the network fails
 */
export async function send(request: HttpRequest, ok: number[], context: ActionContext<unknown>): Promise<Response> {
  let next = request;
  for (let redirects = 0;; redirects++) {
    const response = await sendOnce(next, context);
    const location = response.headers.get("location");
    if (!REDIRECTS.includes(response.status) || ok.includes(response.status) || location === null) return response;
    await response.body?.cancel();
    if (redirects === MOST_REDIRECTS) {
      throw new TerminalError(
        `Cannot ${request.name}: over ${MOST_REDIRECTS} redirects, the last one to ${placeOf(location, next.url)}`,
      );
    }
    next = redirect(next, response.status, location);
  }
}

async function sendOnce(request: HttpRequest, context: ActionContext<unknown>): Promise<Response> {
  const { connection, url, headers } = request;
  if (connection === undefined) return await transmit(request, headers, context);
  return await sendWithToken(context.services.connections, connection, url, context.signal, (authorization) => {
    const authorized = new Headers(headers);
    authorized.set("authorization", authorization);
    return transmit(request, authorized, context);
  });
}

async function transmit(
  request: HttpRequest,
  headers: Headers,
  { services, signal }: ActionContext<unknown>,
): Promise<Response> {
  await services.admitRequest(request.url, signal);
  const { method, body } = request;
  try {
    // Attempts and their timeouts belong to the engine, so that each is in the trace.
    const options = { retry: 0, timeout: false, throwHttpErrors: false, redirect: "manual", signal } as const;
    const through = services.fetch && { fetch: services.fetch };
    return await ky(request.url, { method, headers, body, ...options, ...through });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new Error(`Cannot ${request.name}: ${networkReason(error)}`, { cause: error });
  }
}

function redirect(request: HttpRequest, status: number, location: string): HttpRequest {
  const url = URL.canParse(location, request.url) ? new URL(location, request.url) : undefined;
  if (!url || !["http:", "https:"].includes(url.protocol)) {
    throw new TerminalError(
      `Cannot ${request.name}: it redirects to ${
        placeOf(location, request.url)
      }, expected a URL with http:// or https://`,
    );
  }
  url.username = url.password = "";
  const headers = new Headers(request.headers);
  if (url.origin !== request.url.origin) {
    for (const name of [...headers.keys()]) if (!HARMLESS.includes(name)) headers.delete(name);
  }
  const { name, method, body } = request;
  // A token goes to the host that was asked only, even if the other one is one of the connection's hosts, too.
  const connection = url.origin === request.url.origin ? request.connection : undefined;
  const becomesGet = status === 303 ? method !== "HEAD" : status < 303 && method === "POST";
  if (!becomesGet) return { name, method, url, headers, body, connection };
  for (const header of ["content-type", "idempotency-key"]) headers.delete(header);
  return { name, method: "GET", url, headers, connection };
}

/** Without path and query: a server may repeat those of the request, with a secret in them. */
function placeOf(location: string, from: URL): string {
  const url = URL.parse(location, from.href);
  if (url === null) return "an invalid URL";
  return `${url.protocol}${url.host && `//${url.host}`}`;
}

/**
 * The rate limit of requests to a destination host, over all rules: `limits` in `whenthen.yaml`. A burst of `count` passes
 * at once, the rest at the rate and in order (GCRA, ITU-T I.371).
 */
export class RequestLimits {
  #rates: Record<string, Rate> = {};
  readonly #next = new Map<string, number>();

  /**
   * @param share the share of each rate that this program may use: with three replicas a third, so that they keep the limit without
   * asking each other
   */
  constructor(private readonly clock: Clock, private readonly share: () => number = () => 1) {}

  /** @param rates by host name, with the port if the URL has one */
  setRates(rates: Record<string, Rate>): void {
    this.#rates = rates;
  }

  /** Resolves when the host has room for one more request. Rejects with the signal's reason if it is aborted. */
  async admit(url: URL, signal: AbortSignal): Promise<void> {
    const rate = this.#rates[url.host] ?? this.#rates[url.hostname];
    if (rate === undefined) return;
    const interval = rate.per / (rate.count * this.share());
    const now = this.clock.ticks();
    const next = Math.max(this.#next.get(url.host) ?? 0, now);
    this.#next.set(url.host, next + interval);
    // With a share below one request, the first one passes at once all the same.
    const start = next - Math.max(0, rate.per - interval);
    if (start > now) await sleepFor(this.clock, start - now, signal);
    signal.throwIfAborted();
  }
}
