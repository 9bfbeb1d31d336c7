import assert from "node:assert/strict";
import { RulesOfReplicas, versionOf } from "../../runtime/app/rules_of_replicas.ts";

const rules = (versions: Record<string, string>) =>
  new Map(Object.entries(versions).map(([id, version]) => [id, { version }]));

Deno.test("two replicas have the same rules if all have the same versions, in whatever order", () => {
  const one = versionOf(rules({ "shop/pay": "v1", "shop/ship": "v1" }));
  assert.match(one, /^[0-9a-f]{8}$/);
  assert.equal(versionOf(rules({ "shop/ship": "v1", "shop/pay": "v1" })), one);
  const others: Record<string, string>[] = [{ "shop/pay": "v2", "shop/ship": "v1" }, { "shop/pay": "v1" }, {}];
  for (const other of others) {
    assert.notEqual(versionOf(rules(other)), one);
  }
});

Deno.test("a replica with other rules is told after a minute, once, and again if something else differs", () => {
  const told: string[] = [];
  const others = new RulesOfReplicas("me", (message) => told.push(message));
  const look = (second: number, ...them: (string | null)[]) =>
    others.compare(
      ["a", ...them].map((rules, at) => ({ id: at === 0 ? "me" : `replica${at}`, name: `web-${at}`, rules })),
      second * 1_000,
    );
  look(0, "a", "b");
  look(59, "a", "b");
  assert.deepEqual(told, []);
  look(60, "a", "b");
  look(65, "a", "b");
  assert.equal(told.length, 1);
  assert.match(
    told[0],
    /^Replica replica2 on web-2 has had other rules than this one for 60 s: .* give all of them the same folder$/,
  );
  // One that is updated, or that loads, starts a minute of its own.
  look(70, "c", null);
  look(131, "a", "a");
  look(140, "c", "a");
  look(199, "c", "a");
  assert.equal(told.length, 1);
  look(200, "c", "a");
  assert.equal(told.length, 2);
  assert.match(told[1], /^Replica replica1 on web-1 /);
});
