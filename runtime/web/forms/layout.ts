import { raw } from "hono/html";
import type { Person } from "../../model/form.ts";
import { CSRF_INPUT } from "./csrf.ts";
import { type Markup, markup } from "./markup.ts";

/** What every page has. */
export interface Page {
  title: string;
  body: Markup | Markup[];
  /** Who is signed in, and the token with which to sign out. */
  signedIn?: { person: Person; csrf: string };
}

/** Contrast at least 4.5 to 1 on both backgrounds (WCAG 2.2, 1.4.3); touch targets are 44 pixels high (2.5.5). */
const STYLE = `
:root { color-scheme: light dark; --text: #1b1b1b; --soft: #555; --line: #767676; --back: #fff; --accent: #0b57d0; --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --text: #eee; --soft: #b8b8b8; --line: #949494; --back: #161616; --accent: #9ec1ff; --bad: #ffb4ab }
}
* { box-sizing: border-box }
body { margin: 0; font: 17px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back) }
header, main { max-width: 38rem; margin: 0 auto; padding: .75rem 1rem }
header { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: center; border-bottom: 1px solid var(--line) }
header p { margin: 0; flex: 1; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 1rem 0 .5rem; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 0 0 .25rem }
a { color: var(--accent) }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
.soft, .help { color: var(--soft) }
.help, .error { margin: 0 0 .25rem; white-space: pre-line; overflow-wrap: anywhere }
.error { color: var(--bad); font-weight: 600 }
.field { margin: 1.25rem 0; padding: 0; border: 0; min-width: 0 }
.field > label, legend { display: block; font-weight: 600; padding: 0; overflow-wrap: anywhere }
.field.wrong { border-left: 4px solid var(--bad); padding-left: .75rem }
input, select, textarea, button { font: inherit; color: inherit; background: var(--back); border: 1px solid var(--line); border-radius: 4px }
input:not([type=radio]), select, textarea { width: 100%; min-height: 44px; padding: .5rem }
.field > .choice { display: flex; gap: .75rem; align-items: center; min-height: 44px; font-weight: 400 }
.field > .choice input { width: 1.4rem; height: 1.4rem; flex: none; margin: 0; accent-color: var(--accent) }
button { min-height: 44px; padding: .5rem 1.25rem; cursor: pointer }
button.main { background: var(--accent); color: var(--back); border-color: var(--accent); font-weight: 600 }
.summary { border: 2px solid var(--bad); border-radius: 4px; padding: .75rem 1rem; margin: 1rem 0 }
.summary ul { margin: 0; padding-left: 1.25rem }
.waiting { list-style: none; padding: 0 }
.waiting li { border-bottom: 1px solid var(--line); padding: .75rem 0 }
.waiting a { font-weight: 600; display: inline-block; min-height: 32px; overflow-wrap: anywhere }
.waiting p { margin: 0 }
`;

/** A whole page: readable on a phone, without scripts. */
export function layout({ title, body, signedIn }: Page): Markup {
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title} · whenthen</title>
<style>${raw(STYLE)}</style>
</head>
<body>
${signedIn && header(signedIn)}
<main>
${body}
</main>
</body>
</html>
`;
}

function header({ person, csrf }: NonNullable<Page["signedIn"]>): Markup {
  return markup`<header>
<p>Signed in as ${person.name}</p>
<a href="/forms">All forms</a>
<form method="post" action="/forms/sign-out">${csrfInput(csrf)}<button>Sign out</button></form>
</header>`;
}

/** The hidden input that every form sends back. */
export function csrfInput(token: string): Markup {
  return markup`<input type="hidden" name="${CSRF_INPUT}" value="${token}">`;
}
