import type { Context, Hono } from "hono";
import type { WebContext } from "../context.ts";
import { type HandshakeHook, listHooks, openHooks } from "../hooks_api.ts";
import { readAction } from "./inputs.ts";
import { href } from "./lists.ts";
import { type Markup, markup, type Part } from "./markup.ts";
import { pathOf } from "./rules.ts";
import { csrfInput, notice, page } from "./shell.ts";
import { type Times, timesFor } from "./times.ts";
import type { ConsoleEnv, Viewer } from "./viewer.ts";
import { word } from "./words.ts";

const AT = "/connections";
const PATH = `${AT}/handshakes`;
/** How long the button opens a webhook. */
const OPEN_FOR = "10m";
/** Secrets of a webhook that are shown; a provider gives one for each of its webhooks. */
const FEW = 20;

/** `/connections/handshakes/…`: opens a webhook for the secrets of its provider, and removes secrets. */
export function addHandshakes(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.post(`${PATH}/open`, async (c) => {
    const inputs = await readAction(c, context);
    if (inputs instanceof Response) return inputs;
    await openHooks(context, inputs.rule ?? "", OPEN_FOR, c.get("viewer").by);
    return c.redirect(AT, 303);
  });
  app.get(`${PATH}/remove`, (c) => page(c, context, confirmation(c, context)));
  app.post(`${PATH}/remove`, async (c) => {
    const inputs = await readAction(c, context);
    if (inputs instanceof Response) return inputs;
    const removed = await context.hookSecrets.remove(inputs.what ?? "", c.get("viewer").by);
    if (removed > 0) return c.redirect(AT, 303);
    const text = markup`Somebody has removed it already. <a href="${AT}">Connections</a>`;
    return page(c, context, notice("Nothing was removed", text, AT), 409);
  });
}

/** The webhooks whose provider gives the secret in a handshake. The secrets themselves are on no page. */
export function handshakes(c: Context<ConsoleEnv>, context: WebContext): Markup {
  const hooks = listHooks(context);
  if (hooks.length === 0) {
    return markup`<p class="soft">No webhook has <code>auth: asana</code>, by which a provider gives its secret in a handshake.</p>`;
  }
  const [viewer, times] = [c.get("viewer"), timesFor(c, context)];
  const rows = hooks.map((hook) =>
    markup`<tr><td class="nowrap">${word(hook.openUntil === undefined ? "closed" : "open")}</td>
<td class="grow">${
      hook.path === undefined ? hook.rule : markup`<a href="${pathOf(hook.rule)}">${hook.rule}</a>`
    }</td><td class="wide mono">${hook.path ?? "gone"}</td>
<td class="why">${secretsOf(hook, times)}</td><td>${actions(hook, viewer, times)}</td></tr>\n`
  );
  return markup`<table class="rows">
<thead><tr><th>State</th><th>Rule</th><th class="wide">Webhook</th><th>Secrets</th><th>To do</th></tr></thead>
<tbody>
${rows}</tbody>
</table>`;
}

function secretsOf({ secrets }: HandshakeHook, times: Times): Part {
  if (secrets.length === 0) return "none yet, so that its deliveries are refused";
  const shown = secrets.slice(-FEW).toReversed().map(({ id, at, readable }) =>
    markup`<li><span class="mono">${id}</span>, ${times.short(at)}${
      !readable && markup` <span class="error">sealed with another WHENTHEN_KEY</span>`
    } <a href="${href(`${PATH}/remove`, { what: id })}">Remove…</a></li>\n`
  );
  const rest = secrets.length - shown.length;
  return markup`<ul class="hits">${shown}${rest > 0 && markup`<li class="soft">${rest} older ones</li>`}</ul>`;
}

function actions({ rule, path, openUntil, secrets }: HandshakeHook, { csrf }: Viewer, times: Times): Markup {
  return markup`<div class="connect">${
    path !== undefined && markup`<form method="post" action="${PATH}/open">${csrfInput(csrf)}
<input type="hidden" name="rule" value="${rule}"><button>Open for 10 minutes</button></form>`
  }${openUntil !== undefined && markup`<span class="soft">until ${times.short(openUntil)}</span>`}${
    secrets.length > 0 && markup`<a href="${href(`${PATH}/remove`, { what: rule })}">Remove all…</a>`
  }</div>`;
}

/** The page that asks for confirmation before one secret, or all of a rule, are removed. */
function confirmation(c: Context<ConsoleEnv>, context: WebContext) {
  const what = c.req.query("what") ?? "";
  const hook = listHooks(context).find(({ rule, secrets }) => rule === what || secrets.some(({ id }) => id === what));
  if (hook === undefined) {
    return notice("There is nothing here", markup`It was removed already. <a href="${AT}">Connections</a>`, AT);
  }
  const title = hook.rule === what ? `Remove all secrets of ${what}?` : `Remove the secret ${what} of ${hook.rule}?`;
  const body = markup`<h1>${title}</h1>
<p>Deliveries that are signed with ${
    hook.rule === what ? "them" : "it"
  } are refused from then on. To have the provider give a new one, open the webhook and create the webhook there again.</p>
<form method="post" action="${PATH}/remove">${csrfInput(c.get("viewer").csrf)}
<input type="hidden" name="what" value="${what}"><button>Remove</button> <a href="${AT}">Keep</a></form>`;
  return { title, at: AT, narrow: true, body };
}
