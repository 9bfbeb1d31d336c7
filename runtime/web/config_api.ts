import { type Context, Hono } from "hono";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { mayConfigure } from "../folder/settings/config_layers.ts";
import type { ConfigEntry, RefusedValue, RuleConfig } from "../model/config.ts";
import type { Field } from "../model/rule.ts";
import type { Json } from "../model/json.ts";
import type { Run } from "../model/run.ts";
import { type Asking, personOrOperator } from "./access.ts";
import { answerInvalid, answerMasked, answerRefusal, refuseUse } from "./answer.ts";
import type { Trace } from "../store/store.ts";
import type { WebContext } from "./context.ts";
import { bodyOf, personName, SOMEBODY } from "./request.ts";

/** One value in the answer of `/api/rules/<id>/config`. */
export interface ConfigListing extends ConfigEntry {
  field: Field;
  /** A value of an upper layer that is not used, with the reason. */
  refused?: Pick<RefusedValue, "value" | "from" | "by" | "at" | "reason">;
}

/** A value of the config that a run has, and who gave it. */
export interface ConfiguredValue extends Pick<ConfigEntry, "key" | "value" | "from" | "by" | "at"> {}

/** The answer of `GET /api/runs/<id>`. */
export interface RunAnswer extends Trace {
  /** Absent if nobody has set any. */
  configured?: ConfiguredValue[];
}

export const SET = z.strictObject({
  set: z.record(z.string(), z.custom<Json>()),
  seen: z.number().optional().describe("The number in the `etag`: changes after it are not overwritten"),
  by: personName.default(SOMEBODY),
});

const PATH = "/rules/:id{.+}/config";

/** `/api/rules/<id>/config`: the config of a rule, for operators and for people with a token. */
export function configApi(context: WebContext): Hono<Asking> {
  const app = new Hono<Asking>();
  app.use(PATH, personOrOperator(context));
  app.get(PATH, async (c) => {
    const id = c.req.param("id");
    const config = context.rules().configs.get(id);
    if (config === undefined || !mayConfigure(config, c.get("person"))) return absent(c, id, context);
    return await list(c, config, context);
  });
  const set = async (c: Context<Asking>) => {
    const id = c.req.param("id")!;
    const person = c.get("person");
    const { by, ...given } = await bodyOf(c, SET);
    const outcome = await context.setConfig(id, { ...given, by: person?.id ?? by, ...person && { person } });
    const config = context.rules().configs.get(id);
    switch (outcome.kind) {
      case "accepted":
        return config === undefined ? absent(c, id, context) : await list(c, config, context);
      case "unknown":
      case "forbidden":
        return absent(c, id, context);
      case "stored": {
        const error = `The values are stored, but not in force: ${outcome.reason}`;
        return answerRefusal(c, context, outcome.isFault ? 500 : 409, error, { stored: true });
      }
      case "stale": {
        const { key, by, at } = outcome;
        const error = `Nothing was set: ${by} changed ${key} at ${new Date(at).toISOString()}`;
        return answerRefusal(c, context, 409, error, { key, by, at });
      }
      case "invalid":
        return answerInvalid(c, context, "The config is", outcome.problems);
    }
  };
  app.post(PATH, set);
  app.put(PATH, set);
  return app;
}

/** The time of the last change on a rule's page, 0 if there is none: what a later change has seen. */
async function lastChange(rule: string, { store }: Pick<WebContext, "store">): Promise<number> {
  return Math.max(0, ...(await store.listConfig(rule)).map(({ at }) => at));
}

/** By whom a run was configured: the values of its version that somebody had set on a page, or in the source of the config. */
export async function configuredOf(
  { store, rules }: Pick<WebContext, "store" | "rules">,
  { rule, version, createdAt }: Run,
): Promise<ConfiguredValue[]> {
  const config = (await store.getVersion(version))?.config ?? {};
  const isOf = (key: string, value: Json) => Object.hasOwn(config, key) && isDeepStrictEqual(config[key], value);
  const onPages = (await store.listConfig(rule)).flatMap(({ key, value, by, at, earlier }): ConfiguredValue[] => {
    const set = [{ value, by, at }, ...earlier].find((each) => each.at <= createdAt);
    return set !== undefined && set.value !== null && isOf(key, set.value) ? [{ key, ...set, from: "page" }] : [];
  });
  const known = new Set(onPages.map(({ key }) => key));
  const sourced = (rules().configs.get(rule)?.entries ?? [])
    .filter(({ key, value, from }) => from === "source" && !known.has(key) && isOf(key, value))
    .map(({ key, value, from, by, at }) => ({ key, value, from, ...by !== undefined && { by }, ...at && { at } }));
  return [...onPages, ...sourced];
}

async function list(
  c: Context,
  { rule, fields, entries, refused }: RuleConfig,
  context: WebContext,
): Promise<Response> {
  const listing = entries.map((each): ConfigListing => {
    const entry = { ...each, field: fields[each.key] };
    const found = refused.findLast(({ key }) => key === entry.key);
    if (found === undefined) return entry;
    const { rule: _, key: _key, hint: _hint, ...about } = found;
    return { ...entry, refused: about };
  });
  c.header("etag", `"${await lastChange(rule, context)}"`);
  return answerMasked(c, context, listing);
}

function absent(c: Context<Asking>, id: string, context: WebContext): Response {
  const person = c.get("person");
  const configs = [...context.rules().configs.values()].filter((config) => mayConfigure(config, person));
  const { status, error } = refuseUse(person, {
    absent: `There is no rule "${id}" with config`,
    verb: "set",
    what: `the config of "${id}"`,
    known: configs.map(({ rule }) => rule),
  });
  return answerRefusal(c, context, status, error);
}
