import { Hono } from "hono";
import { z } from "zod";
import type { Begun } from "../connections/attempts.ts";
import { ConnectionError } from "../connections/connection.ts";
import type { HookKey, HookListing } from "../connections/hook_secrets.ts";
import { formatDuration, parseDuration } from "../model/duration.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import { asJson } from "../model/json.ts";
import { handshakePathOf } from "../triggers/webhook.ts";
import { answerJson, answerMasked, answerRefusal, retryAfterOf } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { bodyOf, personName, SOMEBODY } from "./request.ts";

/** The answer of `POST /api/connections/<name>/connect`: what to do next, or that it is connected. */
export type BegunAnswer = Begun | { kind: "connected" };

const by = personName.default(SOMEBODY);
export const CONNECT = z.strictObject({ by, way: z.enum(["code", "device"]).optional() });
export const PASTE = z.strictObject({ attempt: z.string(), code: z.string().trim().min(1).max(8_000) });
export const DISCONNECT = z.strictObject({ by });

/** `/api/connections`: lists, connects and disconnects. */
export function connectionsApi(context: WebContext): Hono {
  const { connections } = context;
  const app = new Hono();
  app.onError((error, c) => {
    // Its message is about an account and a server, and says what would help: the request itself is valid.
    if (error instanceof ConnectionError) return answerRefusal(c, context, 409, error.message);
    throw error;
  });

  app.get("/", (c) => answerMasked(c, context, connections.list()));
  app.post("/:name/connect", async (c) => {
    const { by, way } = await bodyOf(c, CONNECT);
    const begun: BegunAnswer = await attempted(() => connections.begin(c.req.param("name"), { by }, way)) ??
      { kind: "connected" };
    // Not masked: the address must work. Its only secret is the state, which is for the sender of the request.
    return answerJson(c, asJson(begun));
  });
  app.post("/:name/code", async (c) => {
    const { attempt, code } = await bodyOf(c, PASTE);
    await attempted(() => connections.paste(attempt, code));
    return answerMasked(c, context, { connection: c.req.param("name"), state: "connected" });
  });
  app.get("/attempts/:id", async (c) => {
    const attempt = await connections.attempt(c.req.param("id"));
    if (attempt === undefined) return answerRefusal(c, context, 404, "There is no such attempt");
    return answerMasked(c, context, attempt);
  });
  app.post("/:name/disconnect", async (c) => {
    const name = c.req.param("name");
    const disconnected = await connections.disconnect(name, (await bodyOf(c, DISCONNECT)).by);
    if (disconnected !== undefined) return answerMasked(c, context, { connection: name, ...disconnected });
    return answerRefusal(c, context, 404, `"${name}" has no tokens that could be forgotten`);
  });
  return app;
}

/**
 * Runs an attempt to connect.
 * @throws ConnectionError for every failure of the server or the way to it; what says that nothing can be saved now
 */
export async function attempted<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof UsageError || error instanceof ConnectionError || retryAfterOf(error)) throw error;
    throw new ConnectionError(messageOf(error));
  }
}

// ── handshakes of webhooks ──────────────────────────────────────────────────────────────────────────────────────────────

/** A webhook that gets its secrets by handshakes. */
export interface HandshakeHook extends HookListing {
  /** Where it listens; absent if no rule has it any more. */
  path?: string;
}

/** The longest time for which a webhook accepts handshakes. */
const LONGEST_OPEN = 86_400_000;
export const OPEN = z.strictObject({ rule: z.string(), for: z.string().default("10m"), by });
export const REMOVE = z.strictObject({ what: z.string().min(1), by });

/** `/api/hooks`: webhooks whose provider gives the secret in a handshake (`auth: asana`). */
export function hooksApi(context: WebContext): Hono {
  const { hookSecrets } = context;
  const app = new Hono();

  app.get("/", (c) => answerMasked(c, context, listHooks(context)));
  app.post("/open", async (c) => {
    const { rule, for: text, by } = await bodyOf(c, OPEN);
    return answerJson(c, asJson(await openHooks(context, rule, text, by)));
  });
  app.post("/remove", async (c) => {
    const { what, by } = await bodyOf(c, REMOVE);
    const removed = await hookSecrets.remove(what, by);
    if (removed > 0) return answerJson(c, { removed });
    return answerRefusal(c, context, 404, `"${what}" is neither a secret of a webhook nor a rule with one`);
  });
  return app;
}

/**
 * Opens a rule's webhooks for handshakes.
 * @param text a duration, such as `10m`
 * @throws UsageError if the duration is invalid, or the rule has no such webhook
 */
export async function openHooks(
  context: WebContext,
  rule: string,
  text: string,
  by: string,
): Promise<HandshakeHook[]> {
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0 || ms > LONGEST_OPEN) {
    throw new UsageError(
      `Cannot open a webhook for "${text}": expected a duration up to ${formatDuration(LONGEST_OPEN)}, such as 10m`,
    );
  }
  const hooks = listHooks(context).filter((hook) => hook.rule === rule && hook.path !== undefined);
  if (hooks.length === 0) throw new UsageError(`The rule "${rule}" has no webhook with auth: asana`);
  const opened = await Promise.all(
    hooks.map(({ rule, trigger }) => context.hookSecrets.open({ rule, trigger }, ms, by)),
  );
  return opened.map((each, index) => ({ ...each, path: hooks[index].path }));
}

/** The webhooks with handshakes: those of the rules in force, and those that still have secrets. */
export function listHooks({ hookSecrets, rules }: WebContext): HandshakeHook[] {
  const stored = hookSecrets.list();
  const isSame = (one: HookKey, other: HookKey) => one.rule === other.rule && one.trigger === other.trigger;
  const live = [...rules().rules.values()].flatMap(({ id: rule, triggers }) =>
    triggers.flatMap((trigger) => {
      const key = { rule, trigger: trigger.id };
      const path = handshakePathOf(trigger);
      if (path === undefined) return [];
      return [{ secrets: [], ...key, ...stored.find((each) => isSame(each, key)), path: `/hooks${path}` }];
    })
  );
  const gone = stored.filter((each) => !live.some((other) => isSame(each, other)));
  return [...live, ...gone].sort((a, b) => a.rule < b.rule ? -1 : 1);
}
