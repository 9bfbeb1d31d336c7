import assert from "node:assert/strict";
import { start } from "../e2e/program.ts";
import { copyExample } from "./example.ts";

Deno.test("example 07: config.yaml applies, a saved change is live; the environment's file overrides it, and a person both", async () => {
  await using folder = await copyExample("07-config-per-environment");
  await using development = start(folder.rules, { data: folder.data });
  await using production = start(folder.rules, { data: `${folder.data}-prod`, args: ["--env", "prod"] });

  const greet = async (program: typeof development) => (await program.post("/hooks/greet", { name: "Ada" })).body;
  assert.deepEqual(await greet(development), { text: "Hi from development", limit: 3 });
  await development.waitForMessage('got {"name":"Ada"}');
  assert.deepEqual(await greet(production), { text: "HI from support", limit: 10 });
  const [{ verdicts }] = await production.api("events?type=webhook");
  const ofDebug = verdicts.find(({ rule }: { rule: string }) => rule === "debug");
  assert.equal(ofDebug?.verdict.kind, "disabled", JSON.stringify(verdicts));

  // Somebody sets a value in production: it is above both files, until it is removed.
  const set = (limit: number | null) => production.post("/api/rules/greet/config", { set: { limit }, by: "olga" });
  const { key, value, from, by, below } = (await set(4)).body.find(({ key }: { key: string }) => key === "limit");
  assert.deepEqual([key, value, from, by, below.from, below.value], [
    "limit",
    4,
    "page",
    "olga",
    "config.prod.yaml",
    10,
  ]);
  assert.deepEqual(await greet(production), { text: "HI from support", limit: 4 });
  await set(null);
  assert.deepEqual(await greet(production), { text: "HI from support", limit: 10 });

  await folder.write("config.yaml", "all: { team: testers }\ngreet: { greeting: Welcome, limit: 99 }\n");
  const kept = await development.waitFor("the bad value", ({ message }) => message.includes("at most 10"));
  assert.match(kept.message, /config\.yaml:2:36/);
  assert.deepEqual(await greet(development), { text: "Welcome from testers", limit: 3 });
});
