import type { Context, Hono } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { randomBytes } from "node:crypto";
import { ATTEMPT_LIFE, type AttemptState, type Begun } from "../../connections/attempts.ts";
import { ConnectionError, type ConnectionListing } from "../../connections/connection.ts";
import { messageOf, UsageError } from "../../model/errors.ts";
import { attempted } from "../connections_api.ts";
import type { WebContext } from "../context.ts";
import { readAction } from "./inputs.ts";
import { handshakes } from "./handshakes.ts";
import { liveMark, type Look, part } from "./live.ts";
import { href } from "./lists.ts";
import { type Markup, markup, type Part } from "./markup.ts";
import { csrfInput, notice, page } from "./shell.ts";
import { type Times, timesFor } from "./times.ts";
import type { ConsoleEnv, Viewer } from "./viewer.ts";
import { word } from "./words.ts";

const PATH = "/connections";
/**
 * Ties the answer of the authorization server to the browser that has begun. The cookie of the session does not: it is not sent when
 * another site leads here.
 */
const COOKIE = "whenthen_connect";

/** `/connections`: the accounts at other services; connect and disconnect. */
export function addConnections(app: Hono<ConsoleEnv>, context: WebContext): void {
  const { connections } = context;
  const named = (name: string) => connections.list().find((each) => each.name === name);
  const absent = (c: Context, name: string) =>
    page(c, context, notice("There is nothing here", `There is no connection "${name}".`, PATH), 404);
  const refused = (c: Context, title: string, error: unknown) => {
    if (!(error instanceof UsageError || error instanceof ConnectionError)) throw error;
    return page(c, context, notice(title, [sentence(error), back()], PATH), 409);
  };

  app.get(PATH, (c) => {
    const body = markup`<h1>Connections</h1>
<div id="connections">${connectionTable(c, context)}</div>
<h2>Handshakes</h2>
<div id="handshakes">${handshakes(c, context)}</div>`;
    return page(c, context, { title: "Connections", at: PATH, head: liveMark("/live?page=connections"), body });
  });
  app.post(`${PATH}/:name/connect`, async (c) => {
    const inputs = await readAction(c, context);
    if (inputs instanceof Response) return inputs;
    const name = c.req.param("name");
    if (named(name) === undefined) return absent(c, name);
    const browser = getCookie(c, COOKIE) ?? randomBytes(24).toString("base64url");
    try {
      const { by } = c.get("viewer");
      const way = inputs.way === "device" ? "device" : undefined;
      const begun = await attempted(() => connections.begin(name, { by, browser }, way));
      if (begun === undefined) return c.redirect(PATH, 303);
      setCookie(c, COOKIE, browser, {
        path: PATH,
        httpOnly: true,
        sameSite: "Lax",
        maxAge: ATTEMPT_LIFE / 1_000,
        secure: context.desk.address().startsWith("https:"),
      });
      return await page(c, context, nextPage(name, begun, c.get("viewer"), timesFor(c, context)));
    } catch (error) {
      return refused(c, "Not connected", error);
    }
  });
  app.post(`${PATH}/:name/code`, async (c) => {
    const inputs = await readAction(c, context);
    if (inputs instanceof Response) return inputs;
    try {
      await attempted(() => connections.paste(inputs.attempt ?? "", inputs.code ?? ""));
      return c.redirect(PATH, 303);
    } catch (error) {
      return refused(c, "Not connected", error);
    }
  });
  app.get(`${PATH}/:name/disconnect`, (c) => {
    const connection = named(c.req.param("name"));
    if (connection === undefined) return absent(c, c.req.param("name"));
    return page(c, context, confirmation(connection, c.get("viewer")));
  });
  app.post(`${PATH}/:name/disconnect`, async (c) => {
    const inputs = await readAction(c, context);
    if (inputs instanceof Response) return inputs;
    const name = c.req.param("name");
    const done = await connections.disconnect(name, c.get("viewer").by);
    if (done === undefined) return absent(c, name);
    const text = done.revoked
      ? "Its tokens are forgotten here, and its server has revoked them."
      : `Its tokens are forgotten here, but not revoked: ${done.reason}. Revoke them at the service itself.`;
    return page(c, context, notice(`${name} is disconnected`, [text, back()], PATH));
  });
}

/** `/connections/callback`: where the authorization server sends the person back, without a session. */
export function addConnectionCallback(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get(`${PATH}/callback`, async (c) => {
    try {
      const answer = new URL(c.req.url).searchParams;
      const name = await attempted(() => context.connections.callback(answer, getCookie(c, COOKIE)));
      return page(c, context, notice(`${name} is connected`, ["You can close this page.", back()]));
    } catch (error) {
      if (!(error instanceof UsageError || error instanceof ConnectionError)) throw error;
      return page(c, context, notice("Not connected", sentence(error)), 400);
    }
  });
}

/** The live parts of `/connections`. */
export function lookForConnections(c: Context<ConsoleEnv>, context: WebContext): Look {
  return () =>
    Promise.resolve({
      parts: [part("connections", connectionTable(c, context)), part("handshakes", handshakes(c, context))],
    });
}

/** How far an attempt to connect is. */
export function lookForAttempt(c: Context<ConsoleEnv>, { connections }: WebContext): Look {
  const id = c.req.query("attempt") ?? "";
  return () => {
    const attempt = connections.attempt(id);
    return Promise.resolve({ parts: [part("attempt", attemptMarkup(attempt))], isLast: attempt?.state !== "waiting" });
  };
}

function attemptMarkup(attempt: AttemptState | undefined): Markup {
  if (attempt === undefined) return markup`The attempt is over.${back()}`;
  const { connection, state, error } = attempt;
  if (state === "waiting") return markup`Waiting until it is allowed there.`;
  if (state === "connected") return markup`${connection} is connected.${back()}`;
  return markup`<span class="error">Not connected: ${error}.</span>${back()}`;
}

function connectionTable(c: Context<ConsoleEnv>, context: WebContext): Markup {
  const [listed, viewer, times] = [context.connections.list(), c.get("viewer"), timesFor(c, context)];
  if (listed.length === 0) {
    return markup`<p class="soft">There are no connections: add them under connections: in whenthen.yaml.</p>`;
  }
  const rows = listed.map((connection) => {
    const { name, state, reason, hosts, scopes, by, at } = connection;
    return markup`<tr><td>${word(state)}</td><td>${name}</td>
<td class="why">${reason ?? expiryOf(connection, times)}</td>
<td class="wide">${hosts.join(", ")}</td><td class="wide">${scopes.join(" ")}</td>
<td class="wide nowrap">${by !== undefined && at !== undefined && markup`${by}, ${times.short(at)}`}</td>
<td>${actions(connection, viewer)}</td></tr>\n`;
  });
  return markup`<table class="rows">
<thead><tr><th>State</th><th>Connection</th><th>Token</th><th class="wide">Hosts</th><th class="wide">Scopes</th><th class="wide">Connected by</th><th>To do</th></tr></thead>
<tbody>
${rows}</tbody>
</table>`;
}

function expiryOf({ kind, expiresAt, renews }: ConnectionListing, times: Times): Part {
  if (kind === "bearer") return "a secret";
  if (expiresAt === undefined) return renews ? "renewed when needed" : "does not expire";
  return markup`until ${times.short(expiresAt)}${renews && ", then renewed"}`;
}

function actions({ name, kind, state, by }: ConnectionListing, { csrf }: Viewer): Part {
  if (kind === "bearer" || kind === "client_credentials") return false;
  const path = `${PATH}/${encodeURIComponent(name)}`;
  const label = state === "connected" ? "Connect again" : "Connect";
  return markup`<div class="connect">${
    state !== "unused" &&
    markup`<form method="post" action="${path}/connect">${csrfInput(csrf)}<button>${label}</button></form>`
  }${by !== undefined && markup`<a href="${path}/disconnect">Disconnect</a>`}</div>`;
}

/** A link instead of a redirect: after a form, browsers apply the page's `form-action` to redirects, too. */
function nextPage(name: string, begun: Begun, { csrf }: Viewer, times: Times) {
  const title = `Connect ${name}`;
  const shell = {
    title,
    at: PATH,
    narrow: true,
    head: liveMark(href("/live", { page: "attempt", attempt: begun.attempt })),
  };
  const state = markup`<p id="attempt" role="status">${back()}</p>`;
  if (begun.kind === "device") {
    const link = markup`<a href="${begun.complete ?? begun.uri}" rel="noreferrer">${begun.uri}</a>`;
    const code = markup`<strong class="mono">${begun.userCode}</strong>`;
    const body = markup`<h1>${title}</h1>
<p>Open ${link} on any device and enter the code ${code}, until ${times.short(begun.until)}.</p>
${state}`;
    return { ...shell, body };
  }
  const { host } = new URL(begun.url);
  const paste = markup`<form method="post" action="${PATH}/${encodeURIComponent(name)}/code">${csrfInput(csrf)}
<input type="hidden" name="attempt" value="${begun.attempt}">
<label>The code, or the address of the last page<br><input name="code" required autocomplete="off" spellcheck="false"></label>
<button>Connect</button></form>`;
  const device = markup`<form method="post" action="${PATH}/${encodeURIComponent(name)}/connect">${csrfInput(csrf)}
<button name="way" value="device">Connect by a code for another device</button></form>`;
  const body = markup`<h1>${title}</h1>
<p><a href="${begun.url}" rel="noreferrer">Continue at ${host}</a>, until ${times.short(begun.until)}.</p>
${
    begun.outOfBand
      ? markup`<p>It will show a code.</p>${paste}`
      : markup`<details><summary>It did not lead back here</summary>${paste}${device}</details>`
  }
${state}`;
  return { ...shell, body };
}

function confirmation({ name }: ConnectionListing, { csrf }: Viewer) {
  const title = `Disconnect ${name}?`;
  const body = markup`<h1>${title}</h1>
<p>Its tokens are forgotten, and revoked where its server offers that. Steps and polls that use it fail until somebody connects it again.</p>
<form method="post" action="${PATH}/${encodeURIComponent(name)}/disconnect">${csrfInput(csrf)}
<button>Disconnect</button> <a href="${PATH}">Keep it</a></form>`;
  return { title, at: PATH, narrow: true, body };
}

function back(): Markup {
  return markup` <a href="${PATH}">Connections</a>`;
}

function sentence(error: Error): string {
  return `${messageOf(error)}.`;
}
