import type { Context, Hono } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { type Page, page, readInputs, refuseForeign } from "../console/shell.ts";
import { hiddenInput, markup } from "../console/markup.ts";
import type { ConsoleEnv } from "../console/viewer.ts";
import type { WebContext } from "../context.ts";
import { isOperator } from "./people.ts";
import { SESSION_COOKIE, SESSION_LIFE, sessionOf, toSignIn } from "./sessions.ts";
import { CSRF_INPUT, DEVICE_LIFE, isFromOurPage } from "./signatures.ts";

const DEVICE_COOKIE = "whenthen_device";

/** `/forms/sign-in` and `/forms/sign-out`, for forms and console. */
export function addSignIn(app: Hono<ConsoleEnv>, context: WebContext): void {
  const { desk } = context;
  app.get("/sign-in", (c) => page(c, context, signInPage({ to: ownPath(c.req.query("to")) })));

  app.post("/sign-in", async (c) => {
    const inputs = await readInputs(c, context);
    if (inputs instanceof Response) return inputs;
    if (!isFromOurPage(c, desk, "", undefined)) return refuseForeign(c, context);
    const { name = "", password = "" } = inputs;
    const to = ownPath(inputs.to);
    const checked = await desk.passwords.check(name, password, addressOf(c), getCookie(c, DEVICE_COOKIE));
    if (checked.kind === "later") {
      const minutes = Math.ceil(checked.seconds / 60);
      const problem = `Too many attempts. Try again in ${minutes === 1 ? "a minute" : `${minutes} minutes`}.`;
      return page(c, context, signInPage({ to, name, problem }), 429, { "retry-after": String(checked.seconds) });
    }
    if (checked.kind === "wrong") {
      const problem = "The name or the password is wrong.";
      return page(c, context, signInPage({ to, name, problem }), 401);
    }
    const { person } = checked;
    const secure = desk.address().startsWith("https:");
    const common = { httpOnly: true, sameSite: "Lax", secure } as const;
    const session = { ...common, path: "/", maxAge: SESSION_LIFE / 1_000 };
    setCookie(c, SESSION_COOKIE, desk.sessions.open(person), session);
    const device = { ...common, path: "/forms/sign-in", maxAge: DEVICE_LIFE };
    setCookie(c, DEVICE_COOKIE, desk.devices.open(person), device);
    return c.redirect(to ?? (isOperator(person) ? "/" : "/forms"), 303);
  });

  app.post("/sign-out", async (c) => {
    const inputs = await readInputs(c, context);
    if (inputs instanceof Response) return inputs;
    const session = await sessionOf(c, context);
    if (session !== undefined && !isFromOurPage(c, desk, inputs[CSRF_INPUT] ?? "", session.cookie)) {
      return refuseForeign(c, context);
    }
    if (session !== undefined) await desk.sessions.end(session);
    deleteCookie(c, SESSION_COOKIE, { path: "/" });
    return toSignIn(c);
  });
}

/** The contents of the sign-in page. */
interface SignIn {
  /** The page that the person wants to open. */
  to?: string;
  /** The name typed before. */
  name?: string;
  problem?: string;
}

/** The page on which people with an account sign in. */
function signInPage({ to, name = "", problem }: SignIn): Page {
  const summary = problem !== undefined && markup`<div class="summary" role="alert" tabindex="-1" autofocus>
<p class="error">${problem}</p>
</div>`;
  const body = markup`<h1>Sign in</h1>
${summary}
<form method="post" action="/forms/sign-in" accept-charset="utf-8">
${to !== undefined && hiddenInput("to", to)}
<div class="field">
<label for="name">Name or e-mail address</label>
<input id="name" name="name" type="text" value="${name}" required autocomplete="username" autocapitalize="none" spellcheck="false">
</div>
<div class="field">
<label for="password">Password</label>
<input id="password" name="password" type="password" required autocomplete="current-password">
</div>
<p><button class="main">Sign in</button></p>
</form>
<p class="soft">Without an account, use the link that you were sent. Accounts are made with
<code>whenthen people add</code>.</p>`;
  return { title: problem === undefined ? "Sign in" : "Error: Sign in", body, narrow: true };
}

/** A path on this site; anything else could lead people to another site after they have signed in. */
function ownPath(given: string | undefined): string | undefined {
  return given !== undefined && given.length <= 2_000 && /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(given)
    ? given
    : undefined;
}

/**
 * The address that a request came from. A proxy's header is trusted only if a proxy must have set it: the connection comes
 * from this machine or its private network, and the last entry is the one that the nearest proxy wrote.
 */
function addressOf(c: Context<ConsoleEnv>): string {
  const address = c.env.address();
  const forwarded = c.req.header("x-forwarded-for")?.split(",").at(-1)?.trim();
  return forwarded && PRIVATE.test(address) ? forwarded : address;
}

/** RFC 1918, RFC 4193, loopback; IPv4 also as IPv6 writes it. */
const PRIVATE = /^(::ffff:)?(127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)|^::1$|^f[cd]/i;
