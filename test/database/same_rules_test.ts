import assert from "node:assert/strict";
import { Replica } from "../../runtime/app/replica.ts";
import type { OpenDatabase } from "../../runtime/database/open_database.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import type { SharedStore } from "../../runtime/store/shared_store.ts";
import { until } from "../e2e/until.ts";
import { DatabaseServer, replica } from "./server.ts";

const server = await DatabaseServer.start();
Deno.test.afterAll(() => server[Symbol.asyncDispose]());

const rules = (version: string) => new Map([["in", { version }]]);

/** What a replica tells of its rules needs no store. */
function of(database: OpenDatabase): Replica {
  return new Replica({ database, store: {} as SharedStore, clock: new ManualClock(0) });
}

Deno.test("all replicas have the same rules only if none is about to have others; one that has ended does not count", async () => {
  const url = await server.create();
  await using decider = await replica(url);
  const [one, leaving] = [of(decider), await replica(url)];
  const other = of(leaving);
  const become = (expected: boolean) =>
    until(`all to have the same rules: ${expected}`, () => one.allHaveSameRules(), (are) => are === expected);
  assert.equal(await one.allHaveSameRules(), false, "nobody has told its rules");
  one.noteRules(rules("v1"));
  other.noteRules(rules("v1"));
  await become(true);
  await other.changeRules();
  assert.equal(await one.allHaveSameRules(), false, "the other one loads rules");
  other.noteRules(rules("v2"));
  one.noteRules(rules("v2"));
  await become(true);
  other.noteRules(rules("v3"));
  await become(false);
  await leaving[Symbol.asyncDispose]();
  assert.equal(await one.allHaveSameRules(), true);
});
