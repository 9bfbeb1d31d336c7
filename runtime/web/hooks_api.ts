import { Hono } from "hono";
import { z } from "zod";
import type { HookKey, HookListing } from "../connections/hook_secrets.ts";
import { formatDuration, parseDuration } from "../model/duration.ts";
import { UsageError } from "../model/errors.ts";
import { asJson } from "../model/json.ts";
import { handshakePathOf } from "../triggers/webhook/webhook.ts";
import { answerJson } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { bodyOf } from "./given.ts";

/** A webhook that gets its secrets by handshakes. */
export interface HandshakeHook extends HookListing {
  /** Where it listens; absent if no rule has it any more. */
  path?: string;
}

const LONGEST = 86_400_000;
const by = z.string().trim().min(1).max(100).default("an operator");
const OPEN = z.strictObject({ rule: z.string(), for: z.string().default("10m"), by });
const REMOVE = z.strictObject({ what: z.string().min(1), by });

/** `/api/hooks`: webhooks whose provider gives the secret in a handshake (`auth: asana`). */
export function hooksApi(context: WebContext): Hono {
  const { hookSecrets } = context;
  const app = new Hono();

  app.get("/", (c) => answerJson(c, context.maskJson(asJson(listHooks(context)))));
  app.post("/open", async (c) => {
    const { rule, for: text, by } = await bodyOf(c, OPEN);
    return answerJson(c, asJson(await openHooks(context, rule, text, by)));
  });
  app.post("/remove", async (c) => {
    const { what, by } = await bodyOf(c, REMOVE);
    const removed = await hookSecrets.remove(what, by);
    if (removed > 0) return answerJson(c, { removed });
    return c.json({ error: context.mask(`"${what}" is neither a secret of a webhook nor a rule with one`) }, 404);
  });
  return app;
}

/** Accepts handshakes of a rule's webhooks. @param text how long @throws UsageError */
export async function openHooks(
  context: WebContext,
  rule: string,
  text: string,
  by: string,
): Promise<HandshakeHook[]> {
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0 || ms > LONGEST) {
    throw new UsageError(
      `Cannot open a webhook for "${text}": expected a duration up to ${formatDuration(LONGEST)}, such as 10m`,
    );
  }
  const hooks = listHooks(context).filter((hook) => hook.rule === rule && hook.path !== undefined);
  if (hooks.length === 0) throw new UsageError(`The rule "${rule}" has no webhook with auth: asana`);
  const opened = await Promise.all(
    hooks.map(({ rule, trigger }) => context.hookSecrets.open({ rule, trigger }, ms, by)),
  );
  return opened.map((each, index) => ({ ...each, path: hooks[index].path }));
}

/** Those of the rules in force, and those that still have secrets. */
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
