import { isSameText } from "../secrets/same_text.ts";
import type { Context, MiddlewareHandler } from "hono";
import { UsageError } from "../model/errors.ts";

/** Who may use what is not open to everybody. */
export interface Access {
  /** True where requests that this machine itself sends need no token: only it can reach the port, and none is set. */
  tokenless: boolean;
  /** Bearer tokens that open everything. */
  tokens: string[];
}

/**
 * Who may use a program that listens on `host`.
 * @param token what `WHENTHEN_TOKEN` says
 * @param dataToken the random token in the data folder, which only its owner can read
 * @throws UsageError where others could reach it and no token is set
 */
export function accessTo(host: string, token: string | undefined, dataToken: string): Access {
  const loopback = isLoopback(host);
  if (!loopback && !token) {
    throw new UsageError(
      `Cannot listen on ${host} without a token: others can reach that address; ` +
        `set WHENTHEN_TOKEN to a long random text, or listen on 127.0.0.1`,
    );
  }
  return { tokenless: loopback && !token, tokens: token ? [token, dataToken] : [dataToken] };
}

const SHORTEST_TOKEN = 16;

/** What is wrong with the token that `WHENTHEN_TOKEN` says; undefined if nothing is, or none is set. */
export function tokenFault(token: string | undefined): string | undefined {
  if (!token || token.length >= SHORTEST_TOKEN) return undefined;
  return `WHENTHEN_TOKEN has under ${SHORTEST_TOKEN} characters and can be guessed; ` +
    "set it to a long random text (openssl rand -hex 24)";
}

/** Lets a request pass that has a token, or that needs none. */
export function guard(access: Access): MiddlewareHandler {
  return async (c, next) => {
    const given = bearerToken(c);
    if (given !== undefined && holdsToken(given, access.tokens)) return await next();
    const refusal = given === undefined
      ? refuseTokenless(c.req.raw, access)
      : { status: 401, error: "Wrong token" } as const;
    if (refusal === undefined) return await next();
    const { status, error } = refusal;
    return c.json({ error }, status, status === 401 ? { "www-authenticate": 'Bearer realm="whenthen"' } : {});
  };
}

/**
 * Why a request needs a token; undefined where this machine sent it itself and none is asked of it. Who comes through a
 * proxy on this machine is somebody else, and so is a page in a browser on it: that is known by a foreign `Host` (DNS
 * rebinding) or a foreign `Origin`.
 */
export function refuseTokenless(request: Request, { tokenless }: Pick<Access, "tokenless">): Refusal | undefined {
  if (!tokenless) return { status: 401, error: "A token is needed: Authorization: Bearer <WHENTHEN_TOKEN>" };
  const mark = [...request.headers.keys()].find((name) => PROXY_HEADER.test(name));
  if (mark !== undefined) {
    const error = `Refused for a request that a proxy passed on (${mark}): set WHENTHEN_TOKEN and send it as ` +
      "Authorization: Bearer <WHENTHEN_TOKEN>";
    return { status: 401, error };
  }
  // Browsers always send one; with none at all it cannot be a name that was rebound.
  const host = request.headers.get("host") ?? URL.parse(request.url)?.host ?? "localhost";
  if (!isLoopback(hostnameOf(`http://${host}`))) {
    return { status: 403, error: `Refused for the host "${host}": use 127.0.0.1 or a token` };
  }
  const origin = request.headers.get("origin") ?? undefined;
  if (isForeign(origin, host) || request.headers.get("sec-fetch-site") === "cross-site") {
    return { status: 403, error: `Refused for a page of ${origin ?? "another site"}: use a token` };
  }
  return undefined;
}

interface Refusal {
  status: 401 | 403;
  error: string;
}

/** What proxies add: RFC 7239, RFC 9110 7.6.3, and what was usual before. */
const PROXY_HEADER = /^(forwarded|via|x-forwarded-.+|x-real-ip)$/;

/** The token that a request brings, if any. */
export function bearerToken(c: Context): string | undefined {
  return /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
}

/** True for names and addresses that only this machine can reach. */
function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").toLowerCase();
  return bare === "localhost" || bare === "::1" || /^127(\.\d{1,3}){3}$/.test(bare);
}

function isForeign(origin: string | undefined, host: string): boolean {
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host;
}

function hostnameOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : "";
}

function holdsToken(given: string, tokens: string[]): boolean {
  return tokens.map((token) => isSameText(given, token)).includes(true);
}
