import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { WebContext } from "../context.ts";
import { CSRF_INPUT, isFromOurPage } from "../forms/signatures.ts";
import { readRequestBody } from "../request.ts";
import { assets } from "./assets.ts";
import { hiddenInput, type Markup, markup, type Part, respond } from "./markup.ts";
import { timesFor } from "./times.ts";
import type { ConsoleEnv, Viewer } from "./viewer.ts";

/** The parts that differ from page to page. */
export interface Page {
  title: string;
  body: Part;
  /** The entry of the navigation to which it belongs. */
  at?: string;
  /** For reading and filling in: a narrow column with larger controls. */
  narrow?: boolean;
  /** More elements for the right side of the head, such as the status of a live page. */
  head?: Part;
}

/**
 * The navigation; an entry is shown to everybody, or only to operators. The head of a phone has room for six entries: rarely
 * needed ones are at the foot there.
 */
const NAV = [
  { path: "/", name: "Overview", all: false, rare: false },
  { path: "/events", name: "Events", all: false, rare: false },
  { path: "/runs", name: "Runs", all: false, rare: false },
  { path: "/rules", name: "Rules", all: false, rare: false },
  { path: "/start", name: "Start", all: true, rare: false },
  { path: "/forms", name: "Forms", all: true, rare: false },
  { path: "/config", name: "Config", all: true, rare: true },
  { path: "/commands", name: "Commands", all: false, rare: true },
  { path: "/fleets", name: "Fleets", all: false, rare: true },
  { path: "/connections", name: "Connections", all: false, rare: true },
];
/** Only over a database. */
const REPLICAS = { path: "/replicas", name: "Replicas", all: false, rare: true };

/** htmx must not evaluate code or set styles by script: the content security policy forbids both. */
const HTMX = JSON.stringify({ includeIndicatorCSS: false, implicitInheritance: false, history: false });

/** Answers with a page in the shell: head, navigation, foot. Works without scripts; they only keep a page current. */
export async function page(
  c: Context,
  context: WebContext,
  page: Page,
  status: ContentfulStatusCode = 200,
  headers: Record<string, string> = {},
): Promise<Response> {
  const { script, style, icon } = await assets();
  const { title, body, narrow } = page;
  // After a POST a page must not be loaded again to change its zone.
  const zone = c.req.method === "GET" && markup` data-zone="${timesFor(c, context).zone}"`;
  const whole = markup`<!doctype html>
<html lang="en"${zone}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta name="htmx-config" content="${HTMX}">
<title>${title} · whenthen</title>
<link rel="icon" href="${icon.path}">
<link rel="stylesheet" href="${style.path}">
<script src="${script.path}" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
${header(c.get("viewer"), page, c, context)}
<main id="main"${narrow && markup` class="narrow"`}>
${body}
</main>
${foot(c.get("viewer"), page, context)}
</body>
</html>
`;
  return await respond(c, context, whole, status, headers);
}

function header(viewer: Viewer | undefined, { at, head }: Page, c: Context, context: WebContext): Markup {
  if (viewer === undefined) return markup`<header class="head"><span class="brand">whenthen</span></header>`;
  const links = entriesFor(viewer, context).map((entry) => navLink(entry, at));
  const { person, csrf, isOperator } = viewer;
  return markup`<header class="head">
<nav aria-label="Pages">
${links}</nav>
${head}
${
    isOperator && markup`<form class="go" role="search" action="/go">
<input type="search" name="q" value="${
      at === "/go" ? c.req.query("q") ?? "" : ""
    }" aria-label="An id or a subject" placeholder="Id or subject" autocomplete="off" spellcheck="false">
</form>`
  }
${
    person && markup`<form class="who" method="post" action="/forms/sign-out">
${csrfInput(csrf)}<span>Signed in as ${person.name}</span> <button class="plain">Sign out</button>
</form>`
  }
</header>`;
}

/** The rest of the navigation on a phone. */
function foot(viewer: Viewer | undefined, { at }: Page, context: WebContext): Markup | false {
  const links = viewer === undefined ? [] : entriesFor(viewer, context).filter(({ rare }) => rare);
  return links.length > 0 && markup`<footer class="foot"><nav aria-label="More pages">
${links.map((entry) => navLink(entry, at, false))}</nav></footer>`;
}

function entriesFor(viewer: Viewer, { replicas }: WebContext) {
  return [...NAV, ...replicas === undefined ? [] : [REPLICAS]].filter(({ all }) => all || viewer.isOperator);
}

/** @param inHead rare entries are there only on a wide screen */
function navLink({ path, name, rare }: typeof NAV[number], at: string | undefined, inHead = true): Markup {
  return markup`<a href="${path}"${inHead && rare && markup` class="wide"`}${
    path === at && markup` aria-current="page"`
  }>${name}</a>\n`;
}

/** The hidden input that every form with an effect sends back: it proves that the form was on our own page. */
export function csrfInput(token: string): Markup {
  return hiddenInput(CSRF_INPUT, token);
}

/** A page with one message. */
export function notice(title: string, text: Part, at?: string): Page {
  return { title, at, narrow: true, body: markup`<h1>${title}</h1>\n<p>${text}</p>` };
}

/** The most bytes of what a page sends, files aside. */
export const MAX_INPUTS = 256 * 1_024;

/** The inputs that a page sent, the last one of each name; or the answer if the body is refused. */
export async function readInputs(c: Context, context: WebContext): Promise<Record<string, string> | Response> {
  const body = await readRequestBody(c.req.raw, MAX_INPUTS);
  if ("bytes" in body) return Object.fromEntries(new URLSearchParams(new TextDecoder().decode(body.bytes)));
  const { error } = await body.refused.json();
  return await page(c, context, notice("Not sent", error), body.refused.status as ContentfulStatusCode);
}

/** The inputs of a form on one of the viewer's own pages; or the answer to a request that another site may have sent. */
export async function readAction(
  c: Context<ConsoleEnv>,
  context: WebContext,
): Promise<Record<string, string> | Response> {
  const inputs = await readInputs(c, context);
  if (inputs instanceof Response) return inputs;
  const { owner } = c.get("viewer");
  // Without an owner, the request has a token in a header, which no page of another site can send.
  if (owner === undefined || isFromOurPage(c, context.desk, inputs[CSRF_INPUT] ?? "", owner)) return inputs;
  return await refuseForeign(c, context);
}

/** Refuses a request that another site's page may have sent. */
export function refuseForeign(c: Context, context: WebContext): Promise<Response> {
  const text =
    "What was sent did not come from this page, or the page was too old. Nothing was changed: open it again.";
  return page(c, context, notice("Not sent", text), 403);
}
