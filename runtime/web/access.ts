import type { Context, MiddlewareHandler } from "hono";
import { every } from "hono/combine";
import { secureHeaders } from "hono/secure-headers";
import { UsageError } from "../model/errors.ts";
import type { Person } from "../model/form.ts";
import { isSameText } from "../secrets/passwords.ts";
import type { People } from "./forms/people.ts";

/** Who may use the routes that are not public. */
export interface Access {
  /** True if requests from this machine itself need no token: only it can reach the port, and no token is set. */
  tokenless: boolean;
  /** Bearer tokens with full access. */
  tokens: string[];
}

/**
 * Decides the access to a program that listens on `host`.
 * @param token the value of `WHENTHEN_TOKEN`
 * @param dataToken the random token in the data folder, which only its owner can read
 * @throws UsageError if others could reach it and no token is set
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

/** What is wrong with the token in `WHENTHEN_TOKEN`; undefined if it is good or not set. */
export function tokenFault(token: string | undefined): string | undefined {
  if (!token || token.length >= SHORTEST_TOKEN) return undefined;
  return `WHENTHEN_TOKEN has under ${SHORTEST_TOKEN} characters and can be guessed; ` +
    "set it to a long random text (openssl rand -hex 24)";
}

/** Accepts a request with a valid token, or one that needs none. */
export function guard(access: Access): MiddlewareHandler {
  return async (c, next) => {
    const refusal = refusalOf(c, access);
    return refusal === undefined ? await next() : answerRefusedAccess(c, refusal);
  };
}

/** Why a request does not have full access. */
export interface AccessRefusal {
  status: 401 | 403;
  error: string;
}

/** Why a request does not have full access; undefined if it has a valid token or needs none. */
export function refusalOf(c: Context, access: Access): AccessRefusal | undefined {
  const given = bearerToken(c);
  if (given === undefined) return refuseTokenless(c.req.raw, access);
  const isRight = access.tokens.map((token) => isSameText(given, token)).includes(true);
  return isRight ? undefined : { status: 401, error: "Wrong token" };
}

export function answerRefusedAccess(c: Context, { status, error }: AccessRefusal): Response {
  return c.json({ error }, status, status === 401 ? { "www-authenticate": 'Bearer realm="whenthen"' } : {});
}

/** Who sends a request: a person with a token of their own, or (undefined) an operator, who may act for anybody. */
export type Asking = { Variables: { person?: Person } };

/** Accepts a request with the token of a person, and those that {@link guard} accepts. */
export function personOrOperator(context: Access & { desk: { people: People } }): MiddlewareHandler<Asking> {
  const operatorsOnly = guard(context);
  return async (c, next) => {
    const token = bearerToken(c);
    const person = token === undefined ? undefined : context.desk.people.byToken(token);
    if (person === undefined) return await operatorsOnly(c, next);
    c.set("person", person);
    await next();
  };
}

/**
 * Why a request needs a token; undefined if this machine sent it itself and needs none. A request through a proxy on this
 * machine comes from somebody else. So does one from a page in a local browser: it is detected by a foreign `Host` (DNS
 * rebinding) or a foreign `Origin`.
 */
export function refuseTokenless(request: Request, { tokenless }: Pick<Access, "tokenless">): AccessRefusal | undefined {
  if (!tokenless) return { status: 401, error: "A token is needed: Authorization: Bearer <WHENTHEN_TOKEN>" };
  const mark = [...request.headers.keys()].find((name) => PROXY_HEADER.test(name));
  if (mark !== undefined) {
    const error = `Refused for a request that a proxy passed on (${mark}): set WHENTHEN_TOKEN and send it as ` +
      "Authorization: Bearer <WHENTHEN_TOKEN>";
    return { status: 401, error };
  }
  // Browsers always send a Host; a request without one cannot come from DNS rebinding.
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

/** Headers that proxies add: RFC 7239, RFC 9110 7.6.3, and the older de facto ones. */
const PROXY_HEADER = /^(forwarded|via|x-forwarded-.+|x-real-ip)$/;

/** The token of a request, if any. */
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

/**
 * Security headers of every response except those to webhooks: only our own scripts, styles and images are loaded, none of them
 * inline; nothing is framed, sent elsewhere or cached. Script code in text is never evaluated.
 */
export function securityHeaders(): MiddlewareHandler {
  return every(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        connectSrc: ["'self'"],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
      strictTransportSecurity: false,
      xFrameOptions: "DENY",
      // Not `no-referrer`: with that a browser sends `Origin: null` from our own pages. Links are credentials, so no other
      // site may see them.
      referrerPolicy: "same-origin",
    }),
    async (c, next) => {
      await next();
      if (!c.res.headers.has("cache-control")) c.header("cache-control", "no-store");
    },
  );
}
