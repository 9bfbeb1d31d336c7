import type { Context, Hono } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import type { WebContext } from "../context.ts";
import { DEVICE_LIFE } from "./devices.ts";
import { CSRF_INPUT, csrfToken, isFromOurPage } from "./csrf.ts";
import type { Page } from "./layout.ts";
import { notice } from "./notices.ts";
import { readInputs } from "./inputs.ts";
import { respond } from "./respond.ts";
import { type Session, SESSION_LIFE } from "./sessions.ts";
import { signInPage } from "./sign_in_page.ts";

const COOKIE = "whenthen_session";
const DEVICE_COOKIE = "whenthen_device";
/** A form's id, the only possible target after signing in. */
const FORM_ID = /^[\w-]{1,64}$/;

/** The session of a request, if somebody is signed in. */
export function sessionOf(c: Context, { desk }: WebContext): Promise<Session | undefined> {
  return desk.sessions.read(getCookie(c, COOKIE));
}

/** What pages show of a session. */
export function signedInAs(session: Session | undefined, { desk }: WebContext): Page["signedIn"] {
  return session && { person: session.person, csrf: csrfToken(desk, session.cookie) };
}

/** Sends an unknown visitor to the sign-in, and from there back to the form. */
export function toSignIn(c: Context, form?: string): Response {
  return c.redirect(`/forms/sign-in${form !== undefined && FORM_ID.test(form) ? `?form=${form}` : ""}`, 303);
}

/** Refuses a request that another site's page may have sent. */
export async function refuseForeign(c: Context, context: WebContext): Promise<Response> {
  const text =
    "What was sent did not come from this page, or the page was too old. Nothing was changed: open it again.";
  return respond(c, context, notice("Not sent", text, signedInAs(await sessionOf(c, context), context)), 403);
}

/** `/forms/sign-in` and `/forms/sign-out`. */
export function addSessionRoutes(app: Hono, context: WebContext): void {
  const { desk } = context;
  app.get("/sign-in", (c) => respond(c, context, signInPage({ form: formOf(c.req.query("form")) })));

  app.post("/sign-in", async (c) => {
    const inputs = await readInputs(c, context);
    if (inputs instanceof Response) return inputs;
    if (!isFromOurPage(c, desk, "", undefined)) return refuseForeign(c, context);
    const { name = "", password = "" } = inputs;
    const form = formOf(inputs.form);
    const checked = await desk.passwords.check(name, password, addressOf(c), getCookie(c, DEVICE_COOKIE));
    if (checked.kind === "later") {
      const minutes = Math.ceil(checked.seconds / 60);
      const problem = `Too many attempts. Try again in ${minutes === 1 ? "a minute" : `${minutes} minutes`}.`;
      return respond(c, context, signInPage({ form, name, problem }), 429, { "retry-after": String(checked.seconds) });
    }
    if (checked.kind === "wrong") {
      const problem = "The name or the password is wrong.";
      return respond(c, context, signInPage({ form, name, problem }), 401);
    }
    const secure = desk.address().startsWith("https:");
    const common = { httpOnly: true, sameSite: "Lax", secure } as const;
    setCookie(c, COOKIE, desk.sessions.open(checked.person), {
      ...common,
      path: "/forms",
      maxAge: SESSION_LIFE / 1_000,
    });
    setCookie(c, DEVICE_COOKIE, desk.devices.open(checked.person), {
      ...common,
      path: "/forms/sign-in",
      maxAge: DEVICE_LIFE,
    });
    return c.redirect(form === undefined ? "/forms" : `/forms/${form}`, 303);
  });

  app.post("/sign-out", async (c) => {
    const inputs = await readInputs(c, context);
    if (inputs instanceof Response) return inputs;
    const session = await sessionOf(c, context);
    if (session !== undefined && !isFromOurPage(c, desk, inputs[CSRF_INPUT] ?? "", session.cookie)) {
      return refuseForeign(c, context);
    }
    if (session !== undefined) await desk.sessions.end(session);
    deleteCookie(c, COOKIE, { path: "/forms" });
    return toSignIn(c);
  });
}

function formOf(given: string | undefined): string | undefined {
  return given !== undefined && FORM_ID.test(given) ? given : undefined;
}

/**
 * The address that a request came from. A proxy's header is trusted only if a proxy must have set it: the connection comes
 * from this machine or its private network, and the last entry is the one that the nearest proxy wrote.
 */
function addressOf(c: Context): string {
  const address = (c.env as { address?: () => string } | undefined)?.address?.() ?? "";
  const forwarded = c.req.header("x-forwarded-for")?.split(",").at(-1)?.trim();
  return forwarded && PRIVATE.test(address) ? forwarded : address;
}

/** RFC 1918, RFC 4193, loopback; IPv4 also as IPv6 writes it. */
const PRIVATE = /^(::ffff:)?(127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)|^::1$|^f[cd]/i;
