import type { Context, Hono } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { randomBytes } from "node:crypto";
import { ATTEMPT_LIFE, type AttemptState, type Begun } from "../../connections/attempts.ts";
import { ConnectionError, type ConnectionListing } from "../../connections/connection.ts";
import { messageOf, UsageError } from "../../model/errors.ts";
import { attempted, type HandshakeHook, listHooks, openHooks } from "../connections_api.ts";
import type { WebContext } from "../context.ts";
import { href, rowTable } from "./lists.ts";
import { liveMark, type Look, part } from "./live.ts";
import { hiddenInput, type Markup, markup, type Part } from "./markup.ts";
import { rulePath } from "./rules.ts";
import { csrfInput, notice, page, readAction } from "./shell.ts";
import { type Times, timesFor } from "./times.ts";
import type { ConsoleEnv, Viewer } from "./viewer.ts";
import { word } from "./words.ts";

const PATH = "/connections";
/**
 * Ties the answer of the authorization server to the browser that began the attempt. The session's cookie cannot: browsers do
 * not send it when another site links here.
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
      rememberBrowser(c, browser, context);
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

function rememberBrowser(c: Context, browser: string, { desk }: WebContext): void {
  setCookie(c, COOKIE, browser, {
    path: PATH,
    httpOnly: true,
    sameSite: "Lax",
    maxAge: ATTEMPT_LIFE / 1_000,
    secure: desk.address().startsWith("https:"),
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
  return async () => {
    const attempt = await connections.attempt(id);
    return { parts: [part("attempt", attemptMarkup(attempt))], isLast: attempt?.state !== "waiting" };
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
  const wide = [["Hosts", "wide"], ["Scopes", "wide"], ["Connected by", "wide"]] as const;
  return rowTable("", ["State", "Connection", "Token", ...wide, "To do"], rows);
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
${hiddenInput("attempt", begun.attempt)}
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

// ── handshakes of webhooks ───────────────────────────────────────────────────────────────────────────────────────────

const HOOKS_PATH = `${PATH}/handshakes`;
/** How long the button opens a webhook. */
const OPEN_FOR = "10m";
/** Secrets of a webhook that are shown; a provider gives one for each of its webhooks. */
const FEW = 20;

/** `/connections/handshakes/…`: opens a webhook for the secrets of its provider, and removes secrets. */
export function addHandshakes(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.post(`${HOOKS_PATH}/open`, async (c) => {
    const inputs = await readAction(c, context);
    if (inputs instanceof Response) return inputs;
    await openHooks(context, inputs.rule ?? "", OPEN_FOR, c.get("viewer").by);
    return c.redirect(PATH, 303);
  });
  app.get(`${HOOKS_PATH}/remove`, (c) => page(c, context, hookConfirmation(c, context)));
  app.post(`${HOOKS_PATH}/remove`, async (c) => {
    const inputs = await readAction(c, context);
    if (inputs instanceof Response) return inputs;
    const removed = await context.hookSecrets.remove(inputs.what ?? "", c.get("viewer").by);
    if (removed > 0) return c.redirect(PATH, 303);
    const text = markup`Somebody has removed it already. <a href="${PATH}">Connections</a>`;
    return page(c, context, notice("Nothing was removed", text, PATH), 409);
  });
}

/** The webhooks whose provider gives the secret in a handshake. The secrets themselves are on no page. */
function handshakes(c: Context<ConsoleEnv>, context: WebContext): Markup {
  const hooks = listHooks(context);
  if (hooks.length === 0) {
    return markup`<p class="soft">No webhook has <code>auth: asana</code>, by which a provider gives its secret in a handshake.</p>`;
  }
  const [viewer, times] = [c.get("viewer"), timesFor(c, context)];
  const rows = hooks.map((hook) =>
    markup`<tr><td class="nowrap">${word(hook.openUntil === undefined ? "closed" : "open")}</td>
<td class="grow">${
      hook.path === undefined ? hook.rule : markup`<a href="${rulePath(hook.rule)}">${hook.rule}</a>`
    }</td><td class="wide mono">${hook.path ?? "gone"}</td>
<td class="why">${secretsOf(hook, times)}</td><td>${hookActions(hook, viewer, times)}</td></tr>\n`
  );
  return rowTable("", ["State", "Rule", ["Webhook", "wide"], "Secrets", "To do"], rows);
}

function secretsOf({ secrets }: HandshakeHook, times: Times): Part {
  if (secrets.length === 0) return "none yet, so that its deliveries are refused";
  const shown = secrets.slice(-FEW).toReversed().map(({ id, at, readable }) =>
    markup`<li><span class="mono">${id}</span>, ${times.short(at)}${
      !readable && markup` <span class="error">sealed with another WHENTHEN_KEY</span>`
    } <a href="${href(`${HOOKS_PATH}/remove`, { what: id })}">Remove…</a></li>\n`
  );
  const rest = secrets.length - shown.length;
  return markup`<ul class="hits">${shown}${rest > 0 && markup`<li class="soft">${rest} older ones</li>`}</ul>`;
}

function hookActions({ rule, path, openUntil, secrets }: HandshakeHook, { csrf }: Viewer, times: Times): Markup {
  return markup`<div class="connect">${
    path !== undefined && markup`<form method="post" action="${HOOKS_PATH}/open">${csrfInput(csrf)}
${hiddenInput("rule", rule)}<button>Open for 10 minutes</button></form>`
  }${openUntil !== undefined && markup`<span class="soft">until ${times.short(openUntil)}</span>`}${
    secrets.length > 0 && markup`<a href="${href(`${HOOKS_PATH}/remove`, { what: rule })}">Remove all…</a>`
  }</div>`;
}

/** The page that asks for confirmation before one secret, or all of a rule, are removed. */
function hookConfirmation(c: Context<ConsoleEnv>, context: WebContext) {
  const what = c.req.query("what") ?? "";
  const hook = listHooks(context).find(({ rule, secrets }) => rule === what || secrets.some(({ id }) => id === what));
  if (hook === undefined) {
    return notice("There is nothing here", markup`It was removed already. <a href="${PATH}">Connections</a>`, PATH);
  }
  const title = hook.rule === what ? `Remove all secrets of ${what}?` : `Remove the secret ${what} of ${hook.rule}?`;
  const body = markup`<h1>${title}</h1>
<p>Deliveries that are signed with ${
    hook.rule === what ? "them" : "it"
  } are refused from then on. To have the provider give a new one, open the webhook and create the webhook there again.</p>
<form method="post" action="${HOOKS_PATH}/remove">${csrfInput(c.get("viewer").csrf)}
${hiddenInput("what", what)}<button>Remove</button> <a href="${PATH}">Keep</a></form>`;
  return { title, at: PATH, narrow: true, body };
}
